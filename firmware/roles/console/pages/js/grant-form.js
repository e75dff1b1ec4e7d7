// The part of the connection form in which a signed grant is pasted, and what it allows is shown.

import { ownGrant, post } from "./api.js";
import { action, field, problemPlace, showFault } from "./forms.js";
import { facts, fill, h, theirs } from "./dom.js";
import { minutesInWords, moment } from "./format.js";

const shownTerms = (terms) => facts(["Case", theirs(terms.case)], ["Signed by", theirs(terms.signer)], ["Lets in the engineer with the key", h("code", {}, terms.engineer)],
  ["For", `${minutesInWords(terms.minutes)} at most`], ["To be used until", moment(terms.not_after * 1000)]);

/** `changed(terms, fresh)` is told what is allowed from now on: null for all, `fresh` when a person has just pasted it. */
export function grantForm(text, changed) {
  const own = ownGrant();
  const place = h("div");
  const area = field({ at: "grant", label: "Grant", kind: "area", rows: 3, value: text, hint: "The whole text, with its first and last line.", dir: "ltr" });
  let terms = own;
  const legend = h("legend", {}, "By a grant of the vendor");
  const paste = h("details.more", {}, h("summary", {}, "I have a grant of the vendor"), area, h("div.buttons", {}, action("Use this grant", "Checking the grant …", () => look(true), () => element)));
  const element = h("fieldset", { "data-at": "proof" }, legend, problemPlace(), paste, place, h("p.wrong", { hidden: true }));

  async function look(fresh) {
    try {
      terms = await post("/grant", { grant: area.input.value.trim() });
    } catch (problem) {
      if (problem.code?.startsWith("grant-")) problem.errors = [{ field: "grant", wrong: problem.detail }];
      throw problem;
    }
    draw(fresh);
    if (fresh) place.querySelector("h3").focus();
  }
  function leave() {
    terms = null;
    area.input.value = "";
    draw(false);
    paste.open = true;
    area.input.focus();
  }
  function draw(fresh) {
    paste.hidden = terms !== null;
    fill(place, terms && [h("h3", { tabindex: "-1" }, own ? "You have come by this grant" : "This grant counts"), shownTerms(terms),
      h("p", {}, "No secret is needed: the engineer has the key. You may allow less than the grant does, and not more."),
      !own && h("div.buttons", {}, h("button", { type: "button", onclick: leave }, "Do without the grant"))]);
    changed(terms, fresh);
  }
  // After a turn, when the form that it is part of is whole.
  queueMicrotask(() => {
    if (own) draw(true);
    else if (text) { paste.open = true; look(false).catch((problem) => showFault(element, problem)); }
  });
  return {
    element,
    text: () => (own ? "" : area.input.value.trim()),
    terms: () => terms,
    /** It was used. */
    forget() { if (!own) { terms = null; area.input.value = ""; draw(false); } },
  };
}
