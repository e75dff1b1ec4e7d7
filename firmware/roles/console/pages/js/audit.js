// The page Audit: what has happened, filtered; whether the log is whole; and all of it to take away.

import { get, isAdmin, post } from "./api.js";
import { facts, fill, h, heading, result, section, table, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { action, field, form, problemPlace, submit } from "./forms.js";
import { groups, kib, stamp } from "./format.js";
import { load } from "./load.js";
import { guard } from "./widgets.js";

const MARKS = { info: ["skip", "Info"], notice: ["pass", "Notice"], warning: ["warn", "Warning"], error: ["fail", "Error"], critical: ["fail", "Critical"] };
const KINDS = [["", "Anybody"], ["owner", "Administrators"], ["engineer", "Engineers"], ["vendor", "The vendor"], ["technician", "People at the machine"], ["device", "The appliance itself"]];
const TOPICS = [
  ["", "Everything"],
  ["SESSION_OPENED,SESSION_STOPPED,SESSION_EXPIRED,FAILED_TO_CLOSE,GRANT_USED,BREAK_GLASS", "Support sessions"],
  ["ENGINEER_ARRIVED,ENGINEER_LEFT,ACCESS_DENIED,WATCH_BEGAN,WATCH_ENDED,PAUSED,RESUMED,MESSAGE,PROPOSAL_APPROVED,PROPOSAL_REFUSED", "Engineers, and who watched them"],
  ["COMMAND,FILE,FORWARD,DISCOVERY", "Commands, files and connections"],
  ["LOGIN,LOGIN_REFUSED,LOGOUT", "Logins"],
  ["SETTING_CHANGED,CERTIFICATE_CHANGED,KEY_CHANGED,ENROLLED,CLOCK_CHANGED,UPGRADE", "Settings and keys"],
  ["RECORDING_CLOSED,RECORDING_FAILED,RECORDING_FETCHED,RECORDING_REMOVED", "Recordings"],
  ["POWER,HARDWARE,ROLE,PATH_TESTED,DELIVERY_TESTED", "The appliance, and tests"],
  ["AUDIT_HEAD,AUDIT_ROTATED,AUDIT_GAP,AUDIT_EXPORTED", "The audit itself"],
];
const MOST = 50;

const query = (chosen, more = {}) => {
  const pairs = Object.entries({ ...chosen, ...more }).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
};
/** What a browser's field for a time holds, in milliseconds since 1970. */
const millis = (text) => (text ? new Date(text).getTime() || "" : "");
const said = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value));

/** All that is known of one, by the names that other systems know it by too. */
function details(one) {
  const { what, who, sequence: _, severity: __, ...rest } = one.event;
  const { code, ...fields } = what || {};
  const all = { code, ...fields, who: who && `${who.name} (${who.kind})`, ...rest };
  return h("details", {}, h("summary", {}, `Details of event ${one.sequence}`),
    facts(...Object.entries(all).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [name.replaceAll("_", " "), theirs(said(value))]),
      ["SHA-256 of the line", h("code.print", {}, groups(one.sha256).map((group) => [h("span", {}, group), " "]))]));
}

const rows = (events) => events.map((one) => [
  h("time", { datetime: new Date(one.ms).toISOString() }, stamp(one.ms)),
  result(...(MARKS[one.severity] || ["skip", one.severity])),
  [theirs(one.summary), details(one)],
]);

function stateView(state, again) {
  const found = h("div", { role: "status" });
  const faults = h("div", {}, problemPlace());
  const verify = action("Verify now", "Verifying …", async () => {
    fill(found, "Every line and every signature is being looked at …");
    try {
      const checked = await post("/audit/verify");
      const bad = checked.faults.length > 0;
      fill(found, h("p", {}, result(bad ? "fail" : "pass", bad ? "Something is wrong" : "The audit is whole"), ` ${checked.segments} ${checked.segments === 1 ? "segment" : "segments"}; signed up to event ${checked.proved}.`),
        bad && h("ul", {}, checked.faults.map((one) => h("li", {}, theirs(one)))));
    } catch (problem) { fill(found); throw problem; }
  }, faults);
  return guard(section("How the audit stands",
    state.trouble ? h("p.remedy", {}, result("fail", "Trouble"), " ", theirs(state.trouble)) : h("p", {}, result("pass", "Events are written down")),
    facts(["Events", state.last === null ? "None yet" : `${state.first} to ${state.last}, ${kib(Math.ceil(state.bytes / 1024))}`],
      ["Hash of its end", state.head && h("code.print", {}, groups(state.head).map((group) => [h("span", {}, group), " "]))],
      ["Signed by the key", h("code", {}, state.key_fingerprint)]),
    h("p.hint", {}, "Each line is chained to the one before and signed, so that nobody can change, leave out or add one unseen."),
    found, faults, h("div.buttons", {}, verify, h("button", { type: "button", "data-look": true, onclick: again }, "Ask again"))));
}

export function open(main) {
  const state = h("div");
  const place = h("div");
  const away = h("div");
  const count = h("p.hint", { role: "status" });
  let chosen = { text: "", who: "", codes: "", severity: "", kind: "", from: "", until: "", ...kept("audit") };
  let events = [];
  let before = null;
  let turn = 0;

  const look = { "data-look": true };
  const boxes = {
    text: field({ at: "text", label: "With these words", value: chosen.text, maxlength: 120, ...look }),
    who: field({ at: "who", label: "By somebody called", value: chosen.who, maxlength: 120, ...look }),
    codes: field({ at: "codes", label: "What", kind: "select", options: TOPICS, value: chosen.codes, ...look }),
    severity: field({ at: "severity", label: "Not less than", kind: "select", value: chosen.severity, options: [["", "Information"], ["notice", "Notices"], ["warning", "Warnings"], ["error", "Errors"], ["critical", "Critical"]], ...look }),
    kind: field({ at: "kind", label: "By", kind: "select", options: KINDS, value: chosen.kind, ...look }),
    from: field({ at: "from", label: "From", kind: "datetime-local", value: chosen.from, ...look }),
    until: field({ at: "until", label: "Until", kind: "datetime-local", value: chosen.until, ...look }),
  };
  const read = () => Object.fromEntries(Object.entries(boxes).map(([name, box]) => [name, box.input.value.trim()]));
  const asked = () => ({ ...chosen, from: millis(chosen.from), until: millis(chosen.until) });

  function list() {
    fill(count, events.length === 0 ? "No event is like that." : `${events.length} ${events.length === 1 ? "event" : "events"}, the newest first${before === null ? ": these are all." : "."}`);
    return [problemPlace(), events.length > 0 && table("Events of the audit, the newest first", ["When", "How grave", "What has happened"], rows(events)),
      before !== null && action("Show earlier ones", "Asking …", () => show(true), place, { "data-look": true })];
  }
  async function show(more) {
    const mine = (turn += 1);
    fill(count, "Asking the appliance …");
    try {
      const page = await get(`/audit${query(asked(), { before: more ? before : null, most: MOST })}`);
      if (mine !== turn) return;
      const known = more ? events.length : 0;
      events = more ? [...events, ...page.events] : page.events;
      before = page.before;
      fill(place, list());
      // What was pressed is drawn anew: the first of those that came has the focus.
      if (more) place.querySelectorAll("summary")[known]?.focus();
      links();
    } catch (problem) {
      if (mine === turn) fill(count);
      throw problem;
    }
  }
  /** Whoever may, takes away just what the filter shows, or all. */
  function links() {
    const link = (text, path, name) => h("a.button", { href: `/api/v1/audit/${path}`, download: name }, text);
    fill(away, isAdmin() ? [h("p", {}, "The events that the filter shows, in their order:"),
      h("div.buttons", {}, link("JSON lines", `export${query(asked(), { format: "jsonl" })}`, "drawbridge-audit.jsonl"), link("CSV", `export${query(asked(), { format: "csv" })}`, "drawbridge-audit.csv")),
      h("p", {}, "The whole log with its signatures. Unpacked, each of its folders is verified without the appliance and without a network by ", h("code", {}, "verify --key FINGERPRINT FOLDER"), ":"),
      h("div.buttons", {}, link("Files for verify", "bundle", "drawbridge-audit.tar"))]
      : h("p", {}, "An administrator of the array can download it."));
  }

  const filter = form("Filter of the audit", [h("div.filters", {}, Object.values(boxes)),
    h("div.buttons", {}, submit("Show", "Asking …", { "data-look": true }), h("button.plain", { type: "button", "data-look": true, onclick: () => {
      for (const box of Object.values(boxes)) box.input.value = "";
      drop("audit");
      filter.requestSubmit();
    } }, "Show everything"))], async () => { chosen = read(); await show(false); });
  follow(filter, "audit", read);
  fill(main, heading("Audit"), state, section("What has happened", filter, count, place), section("Download", away));
  const again = load(state, () => get("/audit/state"), (found) => stateView(found, () => again()), "how its audit stands");
  links();
  load(place, () => get(`/audit${query(asked(), { most: MOST })}`), (page) => {
    ({ events, before } = page);
    return list();
  }, "what has happened");
}
