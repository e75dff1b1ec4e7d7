// The page Health: what is wrong and what to do about it first, then the parts, versions, memory, clock and data.

import { get } from "./api.js";
import { facts, fill, h, heading, result, section, table, theirs } from "./dom.js";
import { date, kib, span } from "./format.js";
import { load } from "./load.js";

const ORDER = { fail: 0, warn: 1, pass: 2 };
const DATA = { disk: "On the disk", volatile: "In memory only: gone after a restart" };
const CLOCK = { hardware: "From the machine’s own clock", floor: "Behind: set to the earliest time it can be", ceiling: "Ahead: set to the latest time it can be", synchronised: "Set by a time server" };
const EVERY = 10_000;

function checks(list) {
  const sorted = [...list].sort((one, other) => ORDER[one.result] - ORDER[other.result]);
  const wrong = sorted.filter((one) => one.result !== "pass");
  return [h("p", {}, h("strong", {}, wrong.length === 0 ? "All is well: every check has passed." : `${wrong.length} ${wrong.length === 1 ? "check needs" : "checks need"} attention.`)),
    h("ul.checks", {}, sorted.map((one) => h(`li.${one.result}`, {}, h("div.step", {}, result(one.result), h("strong", {}, theirs(one.title))),
      one.remedy && one.result !== "pass" && h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(one.remedy)), one.detail && h("p", {}, theirs(one.detail)))))];
}

function view(health) {
  const { memory, clock, data } = health;
  return [section("Checks", checks(health.checks || [])),
    section("Appliance", facts(
      ["Version", theirs(health.version)], ["Serial number", health.serial && theirs(health.serial)], ["Host name", theirs(health.host_name)], ["Running for", span(health.uptime_seconds)],
      ["Memory", `${kib(memory.available_kib)} of ${kib(memory.total_kib)} free`],
      ["Clock", [date(clock.now), ". ", CLOCK[clock.state] || clock.state, clock.detail && [" (", theirs(clock.detail), ")"]]],
      ["Settings and records", [DATA[data.state] || data.state, data.device && ` (${data.device})`, data.fault && [". ", theirs(data.fault)]]],
      ["Watchdog", health.watchdogs?.length > 0 ? health.watchdogs.map((one) => typeof one === "string" ? one : one.identity || one.name || JSON.stringify(one)).join(", ") : "none"],
      ["Last failure", theirs(health.last_failure || "none is known")])),
    section("Parts", table("Parts of the appliance", ["Part", "State", "Starts", "Memory", "Last end"], (health.roles || []).map((one) => [
      one.role, `${one.state}${one.pid ? `, process ${one.pid}` : ""}`, String(one.starts), one.memory_kib ? kib(one.memory_kib) : "–", one.last_end ? theirs(one.last_end) : "–"])))];
}

export function open(main) {
  const place = h("div");
  fill(main, heading("Health"), place);
  let timer = 0;
  let gone = false;
  load(place, () => get("/health"), view, "its health");
  const more = async () => {
    try {
      const found = document.hidden ? null : await get("/health", true);
      if (found && !gone && !place.contains(document.activeElement)) fill(place, view(found));
    } catch { /* the banner says so */ }
    if (!gone) timer = setTimeout(more, EVERY);
  };
  timer = setTimeout(more, EVERY);
  return () => { gone = true; clearTimeout(timer); };
}
