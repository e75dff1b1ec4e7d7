// What several pages show: facts of a certificate, copy buttons, dialogs, messages, downloads, who may write.

import { isAdmin, ownGrant } from "./api.js";
import { busy, problemPlace, showFault } from "./forms.js";
import { facts, fill, h, theirs, unique } from "./dom.js";
import { date, groups } from "./format.js";

/** A message that is read aloud and goes by itself; it can be sent away before. */
export function toast(text, kind = "note") {
  const place = document.getElementById("toasts");
  const one = h(`div.toast.${kind}`, {}, h("p", {}, text), h("button.plain", { type: "button", onclick: () => one.remove() }, "Close"));
  place.append(one);
  while (place.children.length > 4) place.firstChild.remove();
  setTimeout(() => one.remove(), 20_000);
}

/** Copies a text. Without the browser's permission the text is marked, for Ctrl+C. */
export function copyButton(what, read, shown) {
  const button = h("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(read());
      fill(button, "Copied");
    } catch {
      const place = shown && shown();
      if (place?.select) place.select();
      else if (place) getSelection().selectAllChildren(place);
      fill(button, place ? "Marked: press Ctrl+C" : "The browser does not allow this");
    }
    setTimeout(() => fill(button, what), 4000);
  } }, what);
  return button;
}

/** A fingerprint in groups that one can compare. */
export const fingerprint = (text) => h("code.print", {}, groups(text).map((group) => [h("span", {}, group), " "]));

/** What a certificate says of itself. */
export function certificate(shown) {
  const left = Math.floor((shown.not_after * 1000 - Date.now()) / 86_400_000);
  const life = left < 0 ? "it has ended" : `${left} day${left === 1 ? "" : "s"} left`;
  return facts(
    ["Name", theirs(shown.common_name || shown.subject)],
    ["Valid for", [...(shown.names || []), ...(shown.addresses || [])].length > 0 &&
      h("ul.plain", {}, [...(shown.names || []), ...(shown.addresses || [])].map((name) => h("li", {}, theirs(name))))],
    ["Issued by", shown.self_signed ? "Itself: no authority vouches for it" : theirs(shown.issuer)],
    ["Valid from", date(shown.not_before)],
    ["Valid until", [date(shown.not_after), h(left < 30 ? "strong.bad" : "span", {}, ` (${life})`)]],
    ["Key", shown.key],
    ["SHA-256 fingerprint", fingerprint(shown.fingerprint)],
  );
}

/** A file of the browser's own making. */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Asks before something that cannot be taken back. `work` runs when the person agrees; its failure is said in the dialog.
 * Returns when the dialog is closed.
 */
export function ask({ title, text, yes, words, work, danger = true, more }) {
  const id = unique("d");
  const dialog = h("dialog", { "aria-labelledby": id });
  const place = h("div", {}, problemPlace());
  const agree = h("button", { type: "button", class: danger ? "danger" : "main", onclick: () => busy(agree, words, async () => {
    try {
      await work();
      dialog.close();
    } catch (problem) {
      showFault(place, problem);
      if (problem.code === "no-session") dialog.close();
    }
  }) }, yes);
  const leave = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  dialog.append(h("h2", { id }, title), ...[text].flat().map((one) => h("p", {}, one)), more || "", place, h("div.buttons", {}, agree, leave));
  document.body.append(dialog);
  const done = new Promise((resolve) => dialog.addEventListener("close", () => { dialog.remove(); resolve(); }));
  dialog.showModal();
  leave.focus();
  return done;
}

const WHY = "You are logged in as a viewer: you can look at everything and change nothing. An administrator of the array can.";
const WHY_GRANT = "You have come by a grant: you can look at everything, and open and stop the support session that it describes, on the page Connection.";

/** For a viewer: what writes is switched off, and a sentence says why. */
export function guard(root, may = isAdmin()) {
  if (may) return root;
  const id = unique("why");
  const writes = root.querySelectorAll("button:not([data-look]), input:not([data-look]), textarea:not([data-look]), select:not([data-look])");
  if (!writes.length) return root;
  for (const control of writes) {
    if (control.tagName === "BUTTON") {
      control.setAttribute("aria-disabled", "true");
      control.dataset.viewer = "yes";
      control.setAttribute("aria-describedby", id);
      control.addEventListener("click", (event) => { event.stopImmediatePropagation(); event.preventDefault(); }, true);
    } else control.disabled = true;
  }
  const first = root.querySelector("h1, h2");
  first?.after(h("p.viewer", { id }, ownGrant() ? WHY_GRANT : WHY));
  return root;
}

/** Reads what a person has picked as text. */
export async function readPicked(input, most = 65_536) {
  const file = input.files[0];
  if (!file) return "";
  if (file.size > most) throw Object.assign(new Error(), { detail: `The file ${file.name} has ${file.size} bytes.`, remedy: `At most ${most} bytes are taken: pick the PEM file itself.`, errors: [] });
  return file.text();
}
