// Fields, their errors, and buttons that say what they do: every form of the console is made of these.

import { fill, h, theirs, unique } from "./dom.js";

/**
 * A field: label, input, hint, and a place for its error. `at` is the field's path in the API's words, by which errors
 * find it. `kind`: text, password, number, area, select, check, file.
 */
export function field({ at, label, hint, kind = "text", value, options = [], also = [], ...more }) {
  const id = unique("f");
  const input = control(kind, { id, name: at, ...more }, value, options);
  const describe = [];
  let note = null;
  if (hint) {
    note = h("p.hint", { id: `${id}-hint` }, hint);
    describe.push(note.id);
  }
  const error = h("p.wrong", { id: `${id}-wrong`, hidden: true });
  describe.push(error.id);
  input.setAttribute("aria-describedby", describe.join(" "));
  const text = h("label", { for: id }, label);
  const box = h(`div.field.${kind}`, { "data-at": [at, ...also].join(" ") },
    kind === "check" ? h("div.tick", {}, input, text) : [text, note, input], kind === "check" && note, error);
  box.input = input;
  box.label = label;
  return box;
}

function control(kind, attributes, value, options) {
  const common = { autocomplete: "off", ...attributes };
  if (kind === "select") {
    const select = h("select", common, options.map(([key, text]) => h("option", { value: key }, text)));
    if (value !== undefined && value !== null) select.value = value;
    return select;
  }
  if (kind === "area") return h("textarea", { rows: 3, spellcheck: "false", dir: "auto", ...common, value: value ?? "" });
  if (kind === "check") return h("input", { type: "checkbox", ...common, checked: Boolean(value) });
  if (kind === "file") return h("input", { type: "file", ...common });
  const plain = kind === "number" ? { type: "text", inputmode: "numeric" } : { type: kind };
  return h("input", { ...plain, spellcheck: "false", autocapitalize: "off", dir: kind === "text" ? "auto" : null, ...common, value: value ?? "" });
}

/** The field that an error's path means: itself, or the nearest one that it is part of. */
function boxOf(form, path) {
  const boxes = [...form.querySelectorAll("[data-at]")];
  const ways = [path.replace(/^proof\.keys/, "keys"), path];
  for (const way of ways) {
    for (let at = way; at; at = at.replace(/(\.[^.[\]]*|\[\d*\]|^[^.[\]]*)$/, "")) {
      const found = boxes.find((box) => box.dataset.at.split(" ").includes(at));
      if (found) return found;
    }
  }
  return null;
}

export function clearErrors(form) {
  form.querySelectorAll(".wrong").forEach((wrong) => { wrong.hidden = true; fill(wrong); });
  form.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
  const summary = form.querySelector(".problem");
  if (summary) { fill(summary); summary.hidden = true; }
}

/** Where a form says what went wrong as a whole. */
export const problemPlace = () => h("div.problem", { role: "alert", hidden: true, tabindex: "-1" });

const lineOf = (path) => { const found = /\[(\d+)\]/.exec(path); return found ? `Line ${Number(found[1]) + 1}: ` : ""; };
const closed = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Puts a problem's words beside the fields that it names and at the top, and the focus on the first wrong field. */
export function showProblem(form, problem) {
  clearErrors(form);
  const summary = form.querySelector(".problem");
  const found = [];
  for (const { field: path, wrong, right } of problem.errors || []) {
    const box = boxOf(form, path || "");
    const words = `${closed(capital(wrong || "this is not right"))}${right ? ` Right is: ${closed(right)}` : ""}`;
    if (!box) { found.push([null, `${path}: ${words}`]); continue; }
    const input = box.input || box.querySelector("input, textarea, select");
    const place = box.querySelector(":scope > .wrong") || box.querySelector(".wrong");
    place.id ||= unique("wrong");
    const line = box.classList.contains("area") ? lineOf(path) : "";
    fill(place, place.textContent ? `${place.textContent} ` : "", theirs(line + words));
    place.hidden = false;
    if (input) {
      input.setAttribute("aria-invalid", "true");
      const described = (input.getAttribute("aria-describedby") || "").split(" ").filter(Boolean);
      if (!described.includes(place.id)) input.setAttribute("aria-describedby", [...described, place.id].join(" "));
    }
    for (let up = box.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    found.push([input, `${box.label || path}: ${line}${words}`]);
  }
  const order = found.filter(([input]) => input).map(([input]) => input)
    .sort((one, other) => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  if (summary) {
    summary.hidden = false;
    fill(summary, h("p", {}, h("strong", {}, theirs(problem.detail || problem.message))),
      problem.remedy && h("p", {}, theirs(problem.remedy)),
      found.length > 0 && h("ul", {}, found.map(([input, text]) => h("li", {},
        input ? h("button.link", { type: "button", onclick: () => input.focus() }, theirs(text)) : theirs(text)))));
  }
  (order[0] || summary)?.focus();
}

/** Does something while the button says so: it is busy at once, and itself again when that is over. */
export async function busy(button, words, work) {
  if (button.getAttribute("aria-busy") === "true") return undefined;
  const before = [...button.childNodes];
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  fill(button, words);
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-busy");
    if (!button.dataset.viewer) button.removeAttribute("aria-disabled");
    fill(button, button.dataset.text || before);
  }
}

/** A form whose one way to send is `send`; its problems are shown in it. */
export function form(name, children, send) {
  const element = h("form", { "aria-label": name, novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const button = event.submitter || element.querySelector("button[type=submit]");
    if (button?.getAttribute("aria-disabled") === "true") return;
    clearErrors(element);
    await busy(button, button?.dataset.busy || "Sending …", async () => {
      try { await send(button); } catch (problem) { showFault(element, problem); }
    });
  } }, problemPlace(), children);
  return element;
}

/** As `showProblem`, but a session that is over has its own place: the login, over the page. */
export function showFault(element, problem) {
  if (problem.code === "no-session") return;
  if (problem.detail === undefined) { console.error(problem); }
  showProblem(element, problem.detail === undefined ? { detail: "The console itself has failed.", remedy: "Load the page again. What you typed is kept.", errors: [] } : problem);
}

/** A button that sends its form. */
export const submit = (text, words, more = {}) => h("button", { type: "submit", "data-busy": words, ...more, class: more.class || "main" }, text);

/** A button that does something by itself; what fails is shown in `where`. */
export function action(text, words, work, where, more = {}) {
  const button = h("button", { type: "button", ...more, onclick: async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    const place = typeof where === "function" ? where() : where;
    if (place) clearErrors(place);
    await busy(button, words, async () => {
      try { await work(button); } catch (problem) { if (place) showFault(place, problem); }
    });
  } }, text);
  return button;
}
