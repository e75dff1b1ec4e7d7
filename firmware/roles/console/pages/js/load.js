// Fetches what a page shows: says that it is coming, and tries again by itself once the appliance or the session is back.

import { onChange } from "./api.js";
import { fill, h, theirs } from "./dom.js";

const waiting = new Set();

/** Puts `build(value)` into `place` when `ask()` has answered. Returns how to do it anew. */
export function load(place, ask, build, what = "this") {
  const again = async () => {
    waiting.delete(again);
    if (!place.firstChild) fill(place, h("p.loading", {}, `Asking the appliance for ${what} …`));
    place.setAttribute("aria-busy", "true");
    try {
      const value = await ask();
      const held = focusIn(place);
      fill(place, build(value));
      held();
    } catch (problem) {
      if (problem.detail === undefined) throw problem;
      if (problem.code === "away" || problem.code === "no-session") waiting.add(again);
      fill(place, h("div.problem", { role: "alert" }, h("p", {}, h("strong", {}, theirs(problem.detail))), h("p", {}, theirs(problem.remedy)),
        h("button", { type: "button", "data-look": true, onclick: again }, "Try again")));
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  again();
  return again;
}

/** Keeps the focus where it was when a part is drawn anew: on the element of the same name. */
export function focusIn(place) {
  const name = place.contains(document.activeElement) ? document.activeElement.dataset.key || document.activeElement.name : null;
  return () => name && place.querySelector(`[data-key="${CSS.escape(name)}"], [name="${CSS.escape(name)}"]`)?.focus();
}

/** A page has gone: what it waited for is nobody's wish any more. */
export const forget = () => waiting.clear();

export function retry() {
  for (const again of [...waiting]) again();
}

onChange((what) => { if (what === "back") retry(); });
