// Builds elements: text from elsewhere only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";
let last = 0;

/** An id that no other element has. */
export const unique = (name = "e") => `${name}-${(last += 1)}`;

/** `h("p.note", { id, onclick }, "text", child, …)`: null, false and undefined are left out. */
export function h(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  set(element, attributes || {});
  element.append(...present(children));
  return element;
}

/** As `h`, for drawings. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "open" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Puts these in place of all that was in it. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Changes a text only when it is another: what is read aloud is then what has changed. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text that a person or another machine wrote: in its own direction. */
export const theirs = (text) => h("bdi", { dir: "auto" }, String(text ?? ""));

/** A page's heading, which takes the focus when the page is opened. */
export const heading = (text) => h("h1", { tabindex: "-1" }, text);

/** A section with its heading. */
export function section(title, ...children) {
  const id = unique("s");
  return h("section.sheet", { "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** Names and what stands for them; an entry without a value is left out. */
export function facts(...entries) {
  return h("dl.facts", {}, entries.filter((entry) => entry && entry[1] !== null && entry[1] !== undefined && entry[1] !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A table that becomes cards on a narrow screen. */
export function table(caption, columns, rows) {
  return h("table.cards", {},
    h("caption.unseen", {}, caption),
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) =>
      at === 0 ? h("th", { scope: "row" }, cell) : h("td", { "data-column": columns[at] }, cell))))));
}

const WORDS = { pass: "Passed", fail: "Failed", warn: "Warning", skip: "Left out", running: "Running …" };

/** A result as a word with a mark: never by its colour alone. */
export const result = (kind, word) => h(`span.result.${kind}`, {}, word || WORDS[kind] || kind);
