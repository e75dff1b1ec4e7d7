// The fields for what a TLS server is verified by: public authorities, own ones from a file, pins.

import { field } from "./forms.js";
import { fill, h } from "./dom.js";
import { readPicked } from "./widgets.js";

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
export const orNull = (text) => text.trim() || null;

/** Certificates of a text; what is no certificate is passed on as it is, so that the appliance can say what is wrong. */
export const certificates = (text) => text.match(PEM) || (text.trim() ? [text.trim()] : []);

/** Roots as text, with a picker that adds to it. */
export function roots(at, label, hint, value) {
  const text = field({ at, label, hint, kind: "area", value: value.join("\n"), rows: 3, dir: "ltr" });
  const file = field({ at: `${at}.file`, label: "… or add a file", kind: "file", accept: ".pem,.crt,.cer" });
  file.input.addEventListener("change", async () => {
    try {
      const added = await readPicked(file.input);
      text.input.value = `${text.input.value.trim()}\n${added}`.trim();
      text.input.dispatchEvent(new Event("input", { bubbles: true }));
    } catch (problem) {
      fill(file.querySelector(".wrong"), `${problem.detail} ${problem.remedy}`);
      file.querySelector(".wrong").hidden = false;
    }
    file.input.value = "";
  });
  return [text, file];
}

/** Fields for a VERIFICATION; `boxes`, and `read()` for what they hold. */
export function trustForm(at, value, rootsHint) {
  const trust = { built_in: true, uploaded: [], certificate_pin: null, key_pin: null, ...value };
  const builtIn = field({ at: `${at}.built_in`, label: "Trust the public authorities that are built in", kind: "check", value: trust.built_in });
  const pin = field({ at: `${at}.certificate_pin`, label: "Pinned certificate", value: trust.certificate_pin, hint: "SHA-256 fingerprint of the server’s certificate, with or without colons.", dir: "ltr" });
  const keyPin = field({ at: `${at}.key_pin`, label: "Pinned key", value: trust.key_pin, hint: "SHA-256 of the server’s public key, in base64.", dir: "ltr" });
  const own = roots(`${at}.uploaded`, "Own authorities (PEM)", rootsHint, trust.uploaded);
  return {
    boxes: [builtIn, pin, keyPin, own],
    read: () => ({ built_in: builtIn.input.checked, uploaded: certificates(own[0].input.value), certificate_pin: orNull(pin.input.value), key_pin: orNull(keyPin.input.value) }),
  };
}
