// The part of the page Recordings that sets to whose key recordings are encrypted.

import { get, put } from "./api.js";
import { fill, h, result, section, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { action, field, form, submit } from "./forms.js";
import { load } from "./load.js";
import { guard, toast } from "./widgets.js";

const MADE = "age-keygen -o recordings.key";

function view(found, changed) {
  const text = kept("recording-key")?.text ?? found.recipient ?? "";
  const key = field({ at: "recipient", label: "Public key", value: text, dir: "ltr", hint: "It begins with age1. The private key stays with you, and never comes to the appliance." });
  const set = async (recipient, words) => {
    const next = await put("/recordings/encryption", { recipient });
    drop("recording-key");
    toast(words);
    changed(next);
  };
  const element = form("Encrypt recordings", [key, h("div.buttons", {}, submit("Encrypt to this key", "Setting the key …"),
    found.recipient && action("Encrypt no more", "Setting that …", () => set(null, "Recordings that begin from now on are not encrypted."), () => element, { "data-changes": true }))],
  () => set(key.input.value.trim(), "Recordings that begin from now on are encrypted to this key."));
  follow(element, "recording-key", () => ({ text: key.input.value }));
  guard(element);
  return [
    h("p", {}, found.recipient ? [result("pass", "Encrypted"), " Recordings that begin now are encrypted to ", h("code", {}, theirs(found.recipient))] : [result("skip", "Not encrypted"), " Recordings can be read by whoever has them."]),
    h("details.more", { open: Boolean(kept("recording-key")) }, h("summary", {}, found.recipient ? "Change the key" : "Encrypt recordings to a key of your own"),
      h("p", {}, "Then nobody but you can read what engineers did: not the support server, and not this appliance, on which a recording can then be seen live only. Who came in, when, and how long stays readable. Keep the private key safe: without it these recordings are lost."),
      h("p", {}, "Make a key pair with the program age, which also shows the public key: ", h("code", {}, MADE)),
      element,
      h("p", {}, "Open a recording with the program verify: ", h("code", {}, "verify --open FOLDER --identity recordings.key FILE.tar"))),
  ];
}

/** Draws it into `place`. */
export function encryptForm(place) {
  const body = h("div");
  fill(place, section("Encryption of recordings", body));
  const shown = (found) => view(found, (next) => fill(body, shown(next)));
  load(body, () => get("/recordings/encryption"), shown, "to whose key recordings are encrypted");
}
