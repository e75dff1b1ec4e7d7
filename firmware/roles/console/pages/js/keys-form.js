// Rows for engineers' public keys: each with its line, whether it is an authority, and for how long it is good.

import { field } from "./forms.js";
import { h } from "./dom.js";
import { number } from "./format.js";

/** `changed()` is told when a row comes or goes. */
export function keysForm(keys, changed) {
  const rows = h("div.rows");
  const wrong = h("p.wrong", { hidden: true });
  const add = h("button", { type: "button", onclick: () => { const row = make({ line: "", authority: false, minutes: null }); rows.append(row.element); name(); row.line.input.focus(); changed(); } }, "Add a key");
  const element = h("fieldset", { "data-at": "keys" }, h("legend", {}, "Engineers’ keys"),
    h("p.hint", {}, "With keys and no secret, a key lets an engineer in. With both, an engineer needs both."), rows, wrong, h("div.buttons", {}, add));
  const made = new Map();

  function make(key) {
    const line = field({ at: "keys[].line", label: "Public key", kind: "area", rows: 2, value: key.line, hint: "One line, as OpenSSH writes it: ssh-ed25519 AAAA… anna", dir: "ltr" });
    const authority = field({ at: "keys[].authority", label: "This key signs engineers’ certificates", kind: "check", value: key.authority });
    const minutes = field({ at: "keys[].minutes", label: "Good for (minutes)", kind: "number", value: key.minutes ?? "", hint: "Empty: as long as support is open." });
    const row = h("fieldset.row", {}, h("legend"), line, authority, minutes,
      h("div.buttons", {}, h("button", { type: "button", onclick: () => { made.delete(row); row.remove(); name(); add.focus(); changed(); } }, "Remove this key")));
    const one = { element: row, line, authority, minutes };
    made.set(row, one);
    return one;
  }
  function name() {
    [...rows.children].forEach((row, at) => {
      const one = made.get(row);
      row.querySelector("legend").textContent = `Key ${at + 1}`;
      row.dataset.at = `keys[${at}]`;
      for (const part of ["line", "authority", "minutes"]) one[part].dataset.at = `keys[${at}].${part}`;
    });
  }
  for (const key of keys || []) rows.append(make(key).element);
  name();
  return {
    element,
    read: () => [...rows.children].map((row) => made.get(row)).map((one) => ({
      line: one.line.input.value.trim(), authority: one.authority.input.checked,
      minutes: one.minutes.input.value.trim() ? number(one.minutes.input.value) : null,
    })),
  };
}
