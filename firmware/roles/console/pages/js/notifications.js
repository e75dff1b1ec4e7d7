// The page Notifications: to whom events are told, how each receiver stands, and a trial of one.

import { get, post, put } from "./api.js";
import { facts, fill, h, heading, result, say, section, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { action, field, form, problemPlace, submit } from "./forms.js";
import { groups, lines, moment, number } from "./format.js";
import { load } from "./load.js";
import { trustForm } from "./trust-form.js";
import { guard, toast } from "./widgets.js";

const EVERY = 5000;
const NAMES = { array: "Array", syslog: "Syslog", mail: "Mail" };
const LEAST = [["info", "Every event"], ["notice", "Notices and worse"], ["warning", "Warnings and worse"], ["error", "Errors and worse"], ["critical", "Critical ones only"]];
const SET = "A password is set. Leave this empty to keep it.";

const leastOf = (at, value) => field({ at: `${at}.least`, label: "Which events", kind: "select", options: LEAST, value: value || "notice" });
const password = (at, label, has, value) => field({ at, label, kind: "password", value, autocomplete: "new-password", hint: has ? SET : null });

/** A receiver: a tick that says whether it is told, and what is asked for then. */
function receiver(name, title, on, boxes) {
  const tick = field({ at: `${name}.on`, label: title, kind: "check", value: on });
  const inner = h("div.proxy", {}, boxes);
  const see = () => { inner.hidden = !tick.input.checked; };
  tick.input.addEventListener("change", see);
  see();
  const element = h("fieldset", { "data-at": name }, h("legend", {}, NAMES[name]), tick, inner, h("p.wrong", { hidden: true }));
  return { element, on: () => tick.input.checked };
}

function settingsForm(found, saved) {
  const { settings } = found;
  const typed = kept("notifications") || {};
  const model = (name) => ({ ...settings[name], ...typed[name] });
  const on = (name) => typed[name]?.on ?? Boolean(settings[name]);
  const text = (box) => box.input.value.trim();

  const a = model("array");
  const user = field({ at: "array.user", label: "User of the array", value: a.user, hint: "One who may write to the array’s log, and best nothing else." });
  const secret = password("array.password", "Password of that user", a.has_password, a.password);
  const style = field({ at: "array.style", label: "How events read", kind: "select", options: [["custom", "By their descriptions (the older guide)"], ["codes", "By their codes (the newer guide)"]], value: a.style || "custom" });
  const sees = field({ at: "array.vendor_only", label: "The vendor alone sees them there", kind: "check", value: a.vendor_only });
  const arrayLeast = leastOf("array", a.least);
  const known = found.array_known;
  const array = receiver("array", "Write events to the array’s own log", on("array"), [
    known ? h("p.hint", {}, "It is the array of the page Array: ", theirs(known.host), known.fingerprint ? [", known by the certificate ", h("code.print", {}, groups(known.fingerprint).map((group) => [h("span", {}, group), " "]))] : ", known by what was uploaded there.")
      : h("p.remedy", {}, theirs(`This is not possible yet: ${found.array_unknown}.`), " Set it, and accept its certificate, on the page ", h("a", { href: "#/array" }, "Array"), "."),
    user, secret, style, sees, arrayLeast]);

  const s = model("syslog");
  const logServer = field({ at: "syslog.server", label: "Syslog server", value: s.server, hint: "Name or address, with a port when it is not the usual one (TLS 6514, else 514)." });
  const carrier = field({ at: "syslog.carrier", label: "How it is spoken to", kind: "select", options: [["tls", "TLS"], ["tcp", "TCP, readable by anybody on the way"], ["udp", "UDP, readable, and lost unseen"]], value: s.carrier || "tls" });
  const facility = field({ at: "syslog.facility", label: "Facility", kind: "number", value: s.facility ?? 13, hint: "0 to 23; 13 is the audit’s own." });
  const logLeast = leastOf("syslog", s.least);
  const logTrust = trustForm("syslog.verification", s.verification, "For a server whose certificate your own authority has signed: at most 2.");
  const logTls = h("details.more", { "data-at": "syslog.verification" }, h("summary", {}, "Trust in the syslog server"), logTrust.boxes, h("p.wrong", { hidden: true }));
  const syslog = receiver("syslog", "Send events to a syslog server", on("syslog"), [logServer, carrier, facility, logLeast, logTls]);

  const m = model("mail");
  const mailServer = field({ at: "mail.server", label: "Mail server (SMTP)", value: m.server, hint: "Name or address, with a port when it is not the usual one (STARTTLS 587, TLS 465, none 25)." });
  const security = field({ at: "mail.security", label: "How it is spoken to", kind: "select", options: [["starttls", "STARTTLS: nothing is sent without it"], ["tls", "TLS from the start"], ["plain", "Without TLS, readable by anybody on the way"]], value: m.security || "starttls" });
  const login = field({ at: "mail.user", label: "User at the mail server", value: m.user, hint: "Leave empty when it asks for none." });
  const mailSecret = password("mail.password", "Password at the mail server", m.has_password, m.password);
  const from = field({ at: "mail.from", label: "Sender", value: m.from, hint: "support-appliance@example.com", dir: "ltr" });
  const to = field({ at: "mail.to", label: "Recipients", kind: "area", rows: 3, value: (m.to || []).join("\n"), hint: "One address a line, 20 at most.", dir: "ltr" });
  const mailLeast = leastOf("mail", m.least);
  const mailTrust = trustForm("mail.verification", m.verification, "For a server whose certificate your own authority has signed: at most 2.");
  const mailTls = h("details.more", { "data-at": "mail.verification" }, h("summary", {}, "Trust in the mail server"), mailTrust.boxes, h("p.wrong", { hidden: true }));
  const mail = receiver("mail", "Send events by mail", on("mail"), [mailServer, security, login, mailSecret, from, to, mailLeast, mailTls]);
  const see = () => { logTls.hidden = carrier.input.value !== "tls"; mailTls.hidden = security.input.value === "plain"; };
  carrier.input.addEventListener("change", see);
  security.input.addEventListener("change", see);
  see();

  const read = () => ({
    array: { user: text(user), password: secret.input.value, style: style.input.value, vendor_only: sees.input.checked, least: arrayLeast.input.value },
    syslog: { server: text(logServer), carrier: carrier.input.value, facility: number(facility.input.value), least: logLeast.input.value, verification: logTrust.read() },
    mail: { server: text(mailServer), security: security.input.value, user: text(login) || null, password: mailSecret.input.value, from: text(from), to: lines(to.input.value), least: mailLeast.input.value, verification: mailTrust.read() },
  });
  const parts = { array, syslog, mail };
  const element = form("Who is told", [array.element, syslog.element, mail.element, h("div.buttons.last", {}, submit("Save", "Saving …"))], async () => {
    const body = Object.fromEntries(Object.entries(read()).map(([name, one]) => [name, parts[name].on() ? one : null]));
    const next = await put("/notifications", body);
    drop("notifications");
    toast("It is saved: events are told as you set it.");
    saved(next);
  });
  follow(element, "notifications", () => Object.fromEntries(Object.entries(read()).map(([name, one]) => [name, { ...one, on: parts[name].on() }])));
  element.querySelector(".buttons.last").append(h("button.plain", { type: "button", onclick: () => { drop("notifications"); saved(null); } }, "Discard what I typed"));
  return element;
}

function stateOf(one) {
  if (one.is_up === null) return result("skip", "Not tried yet");
  return one.is_up ? result("pass", "Works") : result("fail", "Does not work");
}

/** How each receiver stands, and its trial. */
function standing(steps) {
  const cards = new Map();
  const element = h("div.grid");
  const none = h("p", {}, "Nobody is told yet: events are on the page Audit only.");
  const alarm = h("div", { role: "alert" });
  function card(name) {
    const place = h("div");
    const faults = h("div", {}, problemPlace());
    const to = name === "mail" && field({ at: "to", label: "To whom (empty: to the recipients)", value: "", dir: "ltr" });
    const test = form(`Test of ${NAMES[name]}`, [to, h("div.buttons", {}, submit("Test Configuration", "Testing …", { class: "quiet", "aria-label": `Test Configuration: ${NAMES[name]}` }))], async () => {
      await post("/notifications/test", { receiver: name, ...(to && to.input.value.trim() && { to: to.input.value.trim() }) });
      steps.begin(name);
    });
    const box = h("div.card", {}, h("h3", {}, NAMES[name]), place, faults, test);
    guard(box);
    return { box, place };
  }
  return {
    element: h("div", {}, alarm, none, element),
    draw({ settings, states, runs }) {
      const set = Object.keys(NAMES).filter((name) => settings[name]);
      none.hidden = set.length > 0;
      const away = set.length > 0 && !runs ? "The part that sends does not run. Events are kept, and are sent when it is back. See the page Health." : "";
      if (alarm.textContent !== away) fill(alarm, away && h("p.remedy", {}, away));
      for (const [name, one] of cards) if (!set.includes(name)) { one.box.remove(); cards.delete(name); }
      for (const name of set) {
        if (!cards.has(name)) cards.set(name, card(name));
        const one = states.find((state) => state.receiver === name);
        const { box, place } = cards.get(name);
        if (!box.parentNode) element.insertBefore(box, element.children[set.indexOf(name)] || null);
        const is = JSON.stringify(one ?? null);
        if (place.dataset.is === is) continue;
        place.dataset.is = is;
        fill(place, one ? [h("p", {}, stateOf(one), one.is_up !== null && ` since ${moment(one.since_ms)}`),
          facts(["Waiting", one.backlog === 0 ? "nothing" : `${one.backlog >= 10_000 ? "10000 or more" : one.backlog} ${one.backlog === 1 ? "event" : "events"}${one.oldest_ms ? `, the oldest of ${moment(one.oldest_ms)}` : ""}`], ["Told up to event", one.settled || "none"], ["Next try", one.next_try_ms && moment(one.next_try_ms)]),
          one.error && [h("p", {}, theirs(one.error.why)), h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(one.error.remedy))]] : h("p", {}, result("skip", "Not tried yet")));
      }
    },
  };
}

/** The steps of the last trial. */
function trial() {
  const list = h("ol.steps");
  const word = h("p.hint", { role: "status" });
  const title = h("h2", { id: "trial", tabindex: "-1" }, "Test");
  const element = h("section.sheet", { hidden: true, "aria-labelledby": "trial" }, title, word, list);
  let timer = 0;
  let gone = false;
  async function again() {
    let test = null;
    try { test = await get("/notifications/test", true); } catch { /* the banner says so */ }
    if (gone) return;
    if (test) {
      fill(list, test.steps.map((step) => h(`li.${step.result}`, {}, h("div.step", {}, result(step.result), h("strong", {}, theirs(step.title))), step.detail && h("p", {}, theirs(step.detail)), step.remedy && h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(step.remedy)))));
      say(word, !test.over ? "The test is running …" : test.steps.some((step) => step.result === "fail") ? "The test has failed; the first failed step says what to do." : "Every step has passed.");
      if (test.over) return;
    }
    timer = setTimeout(again, 1000);
  }
  return {
    element,
    begin(name) {
      clearTimeout(timer);
      element.hidden = false;
      say(title, `Test of ${NAMES[name]}`);
      fill(list);
      say(word, "The test begins …");
      again();
      element.scrollIntoView({ block: "nearest" });
    },
    stop() { gone = true; clearTimeout(timer); },
  };
}

export function open(main) {
  const steps = trial();
  const states = standing(steps);
  const first = h("div");
  const edit = h("div");
  let timer = 0;
  let gone = false;
  fill(main, heading("Notifications"), first, steps.element, edit);
  function draw(found) {
    states.draw(found);
    fill(edit, guard(section("Who is told", settingsForm(found, (next) => { if (next) { draw(next); main.querySelector("h1").focus(); } else again(); }))));
  }
  const again = load(first, () => get("/notifications"), (found) => {
    draw(found);
    return section("How it stands", h("p.hint", {}, "Each receiver is told every event that it wants, in order, also when it was away for a while. A test uses what is saved."), states.element);
  }, "who is told");
  async function look() {
    try {
      if (!document.hidden && edit.firstChild) {
        const found = await get("/notifications", true);
        if (!gone) states.draw(found);
      }
    } catch { /* the banner says so */ }
    if (!gone) timer = setTimeout(look, EVERY);
  }
  timer = setTimeout(look, EVERY);
  return () => { gone = true; clearTimeout(timer); steps.stop(); };
}
