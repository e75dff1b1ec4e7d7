// The page Array: which array checks the administrators, why it is trusted, and who may answer challenges.

import { get, post, put } from "./api.js";
import { action, field, form, submit } from "./forms.js";
import { fill, h, heading, result, section, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { lines } from "./format.js";
import { load } from "./load.js";
import { certificate, guard, readPicked, toast } from "./widgets.js";

const STATES = {
  unset: ["warn", "No array is set"], ok: ["pass", "The array answers"], down: ["fail", "The array does not answer"],
  certificate: ["fail", "The array shows another certificate"], fault: ["fail", "The array answers with a fault"], unknown: ["warn", "Not asked yet"],
};
const TRUST = { pinned: "This certificate and no other (pinned)", uploaded: "Certificates of the authority that was uploaded" };

function stateView(array) {
  const [kind, words] = STATES[array.state] || ["warn", array.state];
  return [h("p", {}, result(kind, words), array.host && [" ", theirs(array.host)]), array.detail && h("p", {}, theirs(array.detail)),
    array.remedy && h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(array.remedy)),
    array.trust && h("p", {}, h("strong", {}, "Trusted: "), TRUST[array.trust] || array.trust), array.certificate && certificate(array.certificate)];
}

function arrayForm(array, changed) {
  const model = { host: array.host || "", ...kept("array") };
  const host = field({ at: "host", label: "Address of the array", value: model.host, hint: "Name or IP address of its management, as array.example.com", required: true });
  const pem = field({ at: "pem", label: "Authority of the array’s certificate (PEM)", kind: "area", rows: 4, hint: "Only when your own authority has signed it. Empty: the certificate that the array shows is pinned.", dir: "ltr" });
  const file = field({ at: "file", label: "… or add a file", kind: "file", accept: ".pem,.crt,.cer" });
  const shown = h("div");
  let pinned = null;
  const send = submit("Use this array", "Asking the array …");
  const forget = () => { pinned = null; fill(shown); };
  const compare = (facts) => {
    const agree = action("They are the same: pin it", "Asking the array …", async () => {
      pinned = facts.fingerprint;
      await use();
    }, () => element, { class: "main" });
    fill(shown, h("section.facts-box", { "aria-label": "The array’s certificate" }, h("h3", { tabindex: "-1" }, "Is this your array?"),
      h("p", {}, "Compare the fingerprint with the one that the array itself shows, and pin it only if they are the same."), certificate(facts), h("div.buttons", {}, agree)));
    shown.querySelector("h3").focus();
  };
  const use = async () => {
    try {
      const next = await put("/array", { host: host.input.value.trim(), fingerprint: pinned, pem: pem.input.value.trim() || null });
      drop("array");
      changed(next);
    } catch (problem) {
      if (problem.code !== "array-certificate" || !problem.body.shown) throw problem;
      compare(problem.body.shown);
    }
  };
  file.input.addEventListener("change", async () => {
    try { pem.input.value = await readPicked(file.input); } catch (problem) { toast(`${problem.detail} ${problem.remedy}`, "bad"); }
  });
  host.input.addEventListener("input", forget);
  const element = form("Set the array", [host, h("details.more", {}, h("summary", {}, "Its certificate is signed by our own authority"), pem, file), shown,
    h("div.buttons", {}, send, action("Show its certificate", "Asking the array …", async () => compare((await post("/array/probe", { host: host.input.value.trim() })).shown), () => element))], use);
  follow(element, "array", () => ({ host: host.input.value }));
  return element;
}

function keysForm(found, changed) {
  const own = found.keys.filter((key) => !key.built_in);
  const text = kept("support-keys")?.text ?? own.map((key) => `${key.key}${key.key.trim().split(/\s+/).length > 2 ? "" : ` ${key.name}`}`).join("\n");
  const keys = field({ at: "keys", label: "Your own support keys", kind: "area", rows: 4, value: text, hint: "One a line: drawbridge-ed25519, the key, and a name. Empty: only those that are built in.", dir: "ltr" });
  // One that came with the appliance stays, and the owner says whether it counts.
  const switches = new Map(found.keys.filter((key) => key.built_in).map((key, at) => [key.key, field({ at: `off[${at}]`, label: `Take the word of ${key.name}`, kind: "check", value: key.on })]));
  const element = form("Support keys", [
    found.keys.length > 0 ? h("ul.plain", {}, found.keys.map((key) => h("li", {}, h("strong", {}, theirs(key.name)), key.built_in ? " (built in)" : "", h("div", {}, h("code", {}, key.key)), key.built_in && switches.get(key.key))))
      : h("p", {}, "There is none: nobody can answer a challenge or sign a grant, and when the array is down nobody can log in."),
    keys, h("div.buttons", {}, submit("Save the keys", "Saving …"))], async () => {
    await put("/support-keys", { keys: lines(keys.input.value), off: [...switches].filter(([, one]) => !one.input.checked).map(([key]) => key) });
    drop("support-keys");
    toast("The support keys are saved.");
    changed();
  });
  follow(element, "support-keys", () => ({ text: keys.input.value }));
  return element;
}

export function open(main) {
  const state = h("div");
  const edit = h("div");
  const keys = h("div");
  fill(main, heading("Array"), section("The array that checks administrators", state), edit, section("Who may answer a challenge, and sign grants", h("p", {}, "When the array is down, one logs in with a challenge. Who holds the private part of one of these keys can answer it, and can sign a grant beforehand: an approval for one engineer and one session."), keys));
  let first = true;
  load(state, () => get("/array"), (array) => {
    if (first) { first = false; draw(array); }
    return stateView(array);
  }, "the array");
  function draw(array) {
    fill(edit, section(array.host ? "Use another array, or another certificate" : "Set the array", arrayForm(array, (next) => {
      fill(state, stateView(next));
      draw(next);
      toast("The array is set.");
      main.querySelector("h1").focus();
    })));
    guard(edit);
  }
  const again = load(keys, () => get("/support-keys"), (found) => guard(h("div", {}, keysForm(found, () => again()))), "the support keys");
}
