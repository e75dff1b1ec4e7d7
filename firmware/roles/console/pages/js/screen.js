// A terminal as the appliance draws it: rows of text with colours, of which only those that have changed are fetched.

import { get } from "./api.js";
import { fill, h } from "./dom.js";

const EVERY = 250;
const BASE = ["#000000", "#ff6b5e", "#4fc07d", "#d3ae2f", "#6ea8fe", "#d98cf2", "#3fc4c4", "#d3d7cf", "#9aa0a6", "#ff8f85", "#7fe0a2", "#f0d060", "#93c0ff", "#e8adff", "#7fe6e6", "#ffffff"];
/** Black letters would not be seen on a dark screen. */
const BLACK = "#8b929a";

/** xterm's 256: 16 of its own, a cube of 216, 24 greys. */
export function colour(value) {
  if (Array.isArray(value)) return `rgb(${value.join(" ")})`;
  if (value < 16) return BASE[value];
  if (value < 232) {
    const part = (at) => { const level = Math.floor((value - 16) / at) % 6; return level === 0 ? 0 : 55 + level * 40; };
    return `rgb(${part(36)} ${part(6)} ${part(1)})`;
  }
  const grey = 8 + (value - 232) * 10;
  return `rgb(${grey} ${grey} ${grey})`;
}

function run([text, columns, look = {}]) {
  const classes = ["bold", "dim", "italic", "underline"].filter((one) => look[one]);
  const span = h(["span", ...classes].join("."), {}, text);
  let [front, back] = [look.foreground, look.background].map((one) => (one === undefined ? null : colour(one)));
  if (look.foreground === 0 && !look.inverse && !back) front = BLACK;
  if (look.inverse) [front, back] = [back || "var(--screen)", front || "var(--ink)"];
  // By the object model: the page's policy allows no style in markup.
  if (front) span.style.color = front;
  if (back) span.style.backgroundColor = back;
  // What takes two columns is not always drawn twice as wide.
  if ([...text].length !== columns) { span.classList.add("wide"); span.style.width = `${columns}ch`; }
  return span;
}

/** The cursor's place, as a line beneath one column. */
function cursorAt(box, place) {
  box.hidden = !place;
  if (!place) return;
  box.style.insetInlineStart = `${place.column}ch`;
  box.style.top = `calc(${place.row} * var(--line))`;
}

/** A screen to be drawn on: `draw({ columns, rows, cursor, changed })` changes the rows that are named. */
export function board(name) {
  const rows = h("div.lines", { dir: "ltr" });
  const cursor = h("div.cursor", { hidden: true, "aria-hidden": true });
  const element = h("div.screen", { tabindex: "0", role: "group", "aria-label": name, dir: "ltr" }, rows, cursor);
  return {
    element,
    clear() { fill(rows); },
    draw(screen) {
      while (rows.children.length < screen.rows) rows.append(h("div.cells"));
      while (rows.children.length > screen.rows) rows.lastChild.remove();
      rows.style.minInlineSize = `${screen.columns}ch`;
      for (const { row, runs } of screen.changed) if (rows.children[row]) fill(rows.children[row], runs.map(run));
      cursorAt(cursor, screen.cursor);
    },
  };
}

/** A terminal of a running recording. `ended` is called when it is closed. */
export function terminal(id, channel, name, ended) {
  const shown = board(name);
  const note = h("p.hint", { role: "status" });
  let revision = 0;
  let timer = 0;
  let gone = false;

  function draw(screen) {
    shown.draw(screen);
    revision = screen.revision;
    const words = screen.over ? "This terminal is closed." : "";
    if (note.textContent !== words) fill(note, words);
  }

  async function look() {
    if (gone) return;
    let wait = EVERY;
    try {
      if (!document.hidden) {
        const screen = await get(`/live/${id}?channel=${channel}&after=${revision}`, true);
        if (gone) return;
        draw(screen);
        if (screen.over) { ended(); return; }
        if (screen.more) wait = 0;
      }
    } catch (problem) {
      if (problem.code === "gone") { fill(note, "This terminal is closed."); ended(); return; }
      wait = 2000;
    }
    timer = setTimeout(look, wait);
  }
  look();
  return { element: h("div.terminal", {}, shown.element, note), stop: () => { gone = true; clearTimeout(timer); } };
}
