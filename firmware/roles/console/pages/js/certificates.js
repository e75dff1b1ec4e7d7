// The page Certificates: what this console is served with, and the three ways to another one.

import { get, post, put } from "./api.js";
import { action, field, form, submit } from "./forms.js";
import { fill, h, heading, section, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { lines } from "./format.js";
import { load } from "./load.js";
import { certificate, download, guard, readPicked, toast } from "./widgets.js";

const KEYS = [["p256", "EC P-256 (what every browser takes)"], ["p384", "EC P-384"]];

function uploadForm(changed) {
  const file = field({ at: "file", label: "PEM file", kind: "file", accept: ".pem,.crt,.cer,.key", hint: "One file with the private key and the certificates, in any order." });
  const pem = field({ at: "pem", label: "… or paste it", kind: "area", rows: 6, hint: "From -----BEGIN to the last -----END. The key must not be encrypted.", dir: "ltr" });
  file.input.addEventListener("change", async () => {
    const wrong = file.querySelector(".wrong");
    wrong.hidden = true;
    try { pem.input.value = await readPicked(file.input); } catch (problem) {
      fill(wrong, `${problem.detail} ${problem.remedy}`);
      wrong.hidden = false;
    }
  });
  return form("Upload a certificate", [file, pem, h("div.buttons", {}, submit("Upload", "Checking the certificate …"))], async () => {
    await put("/certificate", { pem: pem.input.value });
    pem.input.value = "";
    file.input.value = "";
    changed("The new certificate is served from now on. Your browser may ask you to trust it when the page is loaded next.");
  });
}

/** The fields that a request and a self-signed certificate share. */
function namesForm(shown, changed) {
  const model = { common_name: shown.common_name, names: shown.names || [], addresses: shown.addresses || [], key: "p256", ...kept("certificate") };
  const text = (at, label, hint) => field({ at, label, hint, value: model[at] });
  const name = text("common_name", "Common name", "The name by which browsers reach this console: support.example.com");
  const names = field({ at: "names", label: "Further names", kind: "area", rows: 2, value: model.names.join("\n"), hint: "One a line.", dir: "ltr" });
  const addresses = field({ at: "addresses", label: "IP addresses", kind: "area", rows: 2, value: model.addresses.join("\n"), hint: "One a line.", dir: "ltr" });
  const [organisation, unit, country, state] = [text("organisation", "Organisation"), text("unit", "Unit"), text("country", "Country", "Two letters, as DE"), text("state", "State or province")];
  const key = field({ at: "key", label: "Key", kind: "select", options: KEYS, value: model.key });
  const files = h("div");
  const value = (box) => box.input.value.trim();
  const read = () => ({
    common_name: value(name), organisation: value(organisation), unit: value(unit), country: value(country), state: value(state),
    names: lines(names.input.value), addresses: lines(addresses.input.value), key: value(key),
  });
  const self = action("Make a self-signed certificate", "Making the certificate …", async () => {
    await post("/certificate/self-signed", read());
    changed("The new certificate is served from now on. Compare its fingerprint when your browser asks you to trust it.");
  }, () => element);
  const element = form("Certificate request", [name, names, addresses, h("div.pair", {}, organisation, unit, country, state), key,
    h("div.buttons", {}, submit("Make a request (CSR)", "Making key and request …"), self), files], async () => {
    const made = await post("/certificate/request", read());
    drop("certificate");
    fill(files, h("div.notice", { role: "status" }, h("p", {}, h("strong", {}, "Save both files now. "), "The appliance does not keep the key. Give the request to your authority; then upload one file with the key and what the authority sends you."),
      h("div.buttons", {}, made.files.map((one) => h("button", { type: "button", onclick: () => download(one.name, one.text) }, `Save ${one.name}`)))));
    files.querySelector("button").focus();
  });
  follow(element, "certificate", read);
  return element;
}

export function open(main) {
  const served = h("div");
  const more = h("div");
  fill(main, heading("Certificates"), section("What this console is served with", served), more);
  let first = true;
  const again = load(served, () => Promise.all([get("/certificate"), get("/profile")]), ([shown, profile]) => {
    if (first) {
      first = false;
      fill(more, section("Upload a certificate", profile.texts.certificate && h("p", {}, theirs(profile.texts.certificate)), uploadForm(changed)),
        section("Request a certificate, or make one", h("p", {}, "A request is for an authority of yours, whose certificates your browsers trust. A self-signed certificate needs nobody; browsers warn of it once."), namesForm(shown, changed)));
      guard(more);
    }
    return certificate(shown);
  }, "its certificate");
  function changed(words) {
    toast(words);
    again();
    scrollTo(0, 0);
  }
}
