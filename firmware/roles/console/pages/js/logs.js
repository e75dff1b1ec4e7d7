// The page Logs: the newest lines, a filter, following, and the whole as a file.

import { get } from "./api.js";
import { fill, h, heading, section, theirs } from "./dom.js";
import { field } from "./forms.js";
import { stamp } from "./format.js";
import { load } from "./load.js";

const LEVELS = ["error", "warning", "info", "debug"];
const MARKS = { error: "Error", warning: "Warning", info: "Info", debug: "Detail" };
const MOST = 2000;
const EVERY = 2000;
let chosen = { text: "", source: "", level: "info", follow: true };

export function open(main) {
  const look = { "data-look": true };
  const text = field({ at: "text", label: "Shows only lines with", value: chosen.text, ...look });
  const source = field({ at: "source", label: "From", kind: "select", options: [["", "Everything"]], value: "", ...look });
  const level = field({ at: "level", label: "Not less than", kind: "select", value: chosen.level, options: [["debug", "Details"], ["info", "Information"], ["warning", "Warnings"], ["error", "Errors"]], ...look });
  const follow = field({ at: "follow", label: "Go on showing new lines", kind: "check", value: chosen.follow, ...look });
  const count = h("p.hint", { role: "status" });
  const list = h("ol.log", { tabindex: "0", "aria-label": "Lines of the log, the newest last", dir: "ltr" });
  const place = h("div");
  fill(main, heading("Logs"), section("Log of the appliance", h("div.filters", {}, text, source, level, follow),
    h("div.buttons", {}, h("a.button", { href: "/api/v1/log.txt", download: "drawbridge-log.txt" }, "Download the log")), count, place));
  let lines = [];
  let timer = 0;
  let gone = false;

  const wanted = (line) => LEVELS.indexOf(line.level) <= LEVELS.indexOf(chosen.level) && (!chosen.source || line.source === chosen.source)
    && (!chosen.text || `${line.source} ${line.text}`.toLowerCase().includes(chosen.text.toLowerCase()));
  const row = (line) => h(`li.${line.level}`, {}, h("time", {}, stamp(line.milliseconds)), " ", h("span.level", {}, MARKS[line.level] || line.level), " ", h("span.source", {}, line.source), " ", theirs(line.text));
  function draw() {
    const end = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const shown = lines.filter(wanted);
    fill(list, shown.map(row));
    fill(count, shown.length === lines.length ? `${lines.length} lines.` : `${shown.length} of ${lines.length} lines.`, shown.length === 0 && lines.length > 0 && " Nothing matches the filter.");
    if (end && chosen.follow) list.scrollTop = list.scrollHeight;
  }
  function sources() {
    const names = [...new Set(lines.map((line) => line.source))].sort();
    if (names.length === source.input.options.length - 1) return;
    fill(source.input, h("option", { value: "" }, "Everything"), names.map((name) => h("option", { value: name }, name)));
    source.input.value = chosen.source;
  }
  function add(found) {
    if (!found.length) return;
    lines = [...lines, ...found].slice(-MOST);
    sources();
    draw();
  }
  async function more() {
    if (gone) return;
    try {
      if (chosen.follow && !document.hidden) add((await get(`/log?after=${lines.length ? lines[lines.length - 1].number : 0}&most=200`, true)).lines);
    } catch { /* the banner says so, and it is asked again */ }
    timer = setTimeout(more, EVERY);
  }
  const changed = () => {
    chosen = { text: text.input.value, source: source.input.value, level: level.input.value, follow: follow.input.checked };
    draw();
  };
  for (const box of [text, source, level, follow]) box.addEventListener("input", changed);
  load(place, () => get("/log?after=0&most=200"), (found) => {
    lines = [];
    add(found.lines);
    draw();
    clearTimeout(timer);
    timer = setTimeout(more, EVERY);
    requestAnimationFrame(() => { list.scrollTop = list.scrollHeight; });
    return list;
  }, "its log");
  return () => { gone = true; clearTimeout(timer); };
}
