// The form that opens support: where to, how the engineer proves himself, for how long, what for, and what is allowed.

import { ownGrant, post, put } from "./api.js";
import { action, field, form, submit } from "./forms.js";
import { copyButton } from "./widgets.js";
import { drop, follow, keep, kept } from "./drafts.js";
import { h, say, unique } from "./dom.js";
import { lines, minutesInWords, moment, number } from "./format.js";
import { grantForm } from "./grant-form.js";
import { keysForm } from "./keys-form.js";
import { pathForm } from "./path-form.js";

const UNITS = [["minutes", "minutes", 1], ["hours", "hours", 60], ["days", "days", 1440]];
const LEVELS = [
  ["direct", "Direct", "The engineer works alone. You may watch on the page Live, and can stop him at any moment."],
  ["watched", "Watched", "The engineer works only while somebody has the page Live before him. When nobody has, what he types waits, and after the time below his connection ends."],
  ["guided", "Guided", "The engineer proposes one line at a time, and it runs when you let it on the page Live. No files, forwards or full-screen programs."],
];

/** The secret of the open session, which its page shows again: in memory only, and until the session ends. */
export const lastSecret = () => kept("opened")?.secret || "";

/** "Terminate After": a number and its unit, with the clock time that it means. */
export function duration(at, label, minutes) {
  const given = minutes === undefined || minutes === null || minutes === "" ? 60 : minutes;
  const unit = UNITS.slice().reverse().find(([, , one]) => given >= one && given % one === 0) || UNITS[0];
  const id = unique("t");
  const input = h("input", { id, name: at, type: "text", inputmode: "numeric", value: String(typeof given === "number" ? given / unit[2] : given), "aria-describedby": `${id}-end ${id}-wrong`, required: true, size: 5, autocomplete: "off" });
  const select = h("select", { "aria-label": `${label}: unit`, name: `${at}.unit`, autocomplete: "off" }, UNITS.map(([key, text]) => h("option", { value: key }, text)));
  select.value = unit[0];
  const end = h("span.ends", { id: `${id}-end` });
  const box = h("div.field.duration", { "data-at": at }, h("label", { for: id }, label), h("div.together", {}, input, select, end), h("p.wrong", { id: `${id}-wrong`, hidden: true }));
  box.input = input;
  box.label = label;
  const read = () => {
    const text = input.value.trim().replace(",", ".");
    const found = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * UNITS.find(([key]) => key === select.value)[2]) : null;
    return found;
  };
  const draw = () => {
    const found = read();
    say(end, found ? `ends ${moment(Date.now() + found * 60_000)}` : "type a number");
  };
  input.addEventListener("input", draw);
  select.addEventListener("change", draw);
  draw();
  const set = (next) => {
    const one = UNITS.slice().reverse().find(([, , factor]) => next % factor === 0);
    [input.value, select.value] = [String(next / one[2]), one[0]];
    draw();
  };
  return { box, set, read: () => read() ?? input.value, draw, words: () => (read() ? minutesInWords(read()) : "") };
}

function secretField(model) {
  const secret = field({ at: "secret", also: ["proof", "proof.secret"], label: "Secret for the engineer", kind: "password", value: model.secret, autocomplete: "new-password", hint: "Tell it to the engineer by another way than this one, by telephone as a rule. Generate makes a good one." });
  const show = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    const hidden = secret.input.type === "password";
    secret.input.type = hidden ? "text" : "password";
    show.textContent = hidden ? "Hide" : "Show";
    show.setAttribute("aria-pressed", String(hidden));
  } }, "Show");
  const generate = action("Generate", "Generating …", async () => {
    const made = await post("/bridge/secret");
    secret.input.value = made.secret;
    if (secret.input.type === "password") show.click();
    secret.input.dispatchEvent(new Event("input", { bubbles: true }));
  }, () => secret.closest("form"));
  const copy = copyButton("Copy", () => secret.input.value, () => secret.input);
  secret.insertBefore(h("div.together", {}, secret.input, generate, show, copy), secret.querySelector(".wrong"));
  return secret;
}

function levels(value) {
  const name = unique("level");
  const set = h("fieldset", { "data-at": "level" }, h("legend", {}, "How closely is the engineer led?"),
    LEVELS.map(([key, text, hint]) => {
      const id = unique("l");
      return h("div.tick", {}, h("input", { type: "radio", name, id, value: key, checked: key === value, "aria-describedby": `${id}-h` }),
        h("div", {}, h("label", { for: id }, text), h("p.hint", { id: `${id}-h` }, hint)));
    }), h("p.wrong", { hidden: true }));
  set.label = "Level";
  return { set, read: () => set.querySelector("input:checked")?.value || "direct" };
}

/** The form, from what was typed or what was last asked for. `opened()` when the appliance opens; `tested()` when it tests. */
export function connectionForm(last, profile, { opened, tested }) {
  const model = { level: "direct", grace_seconds: 300, recording: "strict", minutes: 60, sources: [], ...last, ...kept("connection") };
  const scope = { targets: [], shell: true, files: false, forwards: false, ...model.scope };
  const path = pathForm(model.path || {}, profile);
  const secret = secretField(model);
  const time = duration("minutes", "Terminate after", model.minutes);
  const name = field({ at: "name", label: "Session name", value: model.name, hint: "As the engineer and the log call it: case 4711", required: true });
  const reason = field({ at: "reason", label: "Reason", value: model.reason, hint: "Why support is needed. It is kept with the session." });
  const level = levels(model.level);
  const grace = field({ at: "grace_seconds", label: "Seconds for which nobody need watch", kind: "number", value: model.grace_seconds, hint: "10 to 3600. Then the engineer’s connection ends. For Watched and Guided only." });
  const glass = field({ at: "recording", label: "Go on even if it cannot be recorded (break glass)", kind: "check", value: model.recording === "break_glass", hint: "As a rule a session that cannot be recorded does not begin, or ends. That you chose this is in the log." });
  level.set.append(grace, glass);
  const shell = field({ at: "scope.shell", label: "Command line on the appliance", kind: "check", value: scope.shell });
  const files = field({ at: "scope.files", label: "Copy files", kind: "check", value: scope.files });
  const forwards = field({ at: "scope.forwards", label: "Reach the targets below", kind: "check", value: scope.forwards });
  const targets = field({ at: "scope.targets", label: "Targets", kind: "area", rows: 3, value: scope.targets.join("\n"), hint: "Machines that the engineer may reach, one a line, with their TCP port: node-1.example.com:22" });
  const sources = field({ at: "sources", label: "Engineers may come from", kind: "area", rows: 2, value: model.sources.join("\n"), hint: "Networks, one a line: 198.51.100.0/24. Empty: from anywhere." });
  let note = () => {};
  const keys = keysForm(model.keys, () => note());

  // What a grant says is put in, and what it does not say cannot be chosen. The appliance holds to it in any case.
  const grant = grantForm(model.grant || "", (terms, fresh) => {
    for (const one of [secret, keys.element]) one.hidden = Boolean(terms);
    for (const [what, box] of Object.entries({ shell, files, forwards })) {
      box.input.disabled = Boolean(terms && !terms.scope[what]);
      if (terms && (fresh || box.input.disabled)) box.input.checked = terms.scope[what];
    }
    targets.input.disabled = Boolean(terms && !terms.scope.targets.length);
    if (!terms) return;
    secret.input.value = "";
    if (!fresh) return;
    targets.input.value = terms.scope.targets.join("\n");
    time.set(terms.minutes);
    name.input.value ||= `case ${terms.case}`;
    reason.input.value ||= `Grant of ${terms.signer} for case ${terms.case}`;
    note();
  });

  const read = () => ({
    grant: grant.text(),
    name: name.input.value.trim(), reason: reason.input.value.trim(), level: level.read(), grace_seconds: number(grace.input.value), recording: glass.input.checked ? "break_glass" : "strict",
    scope: { targets: lines(targets.input.value), shell: shell.input.checked, files: files.input.checked, forwards: forwards.input.checked },
    minutes: time.read(), secret: secret.input.value, keys: keys.read(), sources: lines(sources.input.value), path: path.read(),
  });
  const body = () => {
    const found = read();
    const terms = grant.terms();
    if (terms) found.keys = [{ line: terms.engineer, authority: false, minutes: null }];
    if (terms || !found.secret) delete found.secret;
    if (ownGrant() || !terms) delete found.grant;
    if (!found.keys.length) delete found.keys;
    return found;
  };

  const test = h("button", { type: "submit", value: "test", "data-busy": "Testing …" }, "Test Connection");
  const element = form("Open support", [
    h("fieldset", {}, h("legend", {}, "Where to"), path.first, path.proxy),
    grant.element,
    h("fieldset", {}, h("legend", {}, "Who and how long"), secret, time.box, name, reason),
    level.set,
    h("fieldset", { "data-at": "scope" }, h("legend", {}, "What the engineer may do"), shell, files, forwards, targets, h("p.wrong", { hidden: true })),
    h("details.more", {}, h("summary", {}, "Advanced: trust, hops, keys, allowed networks, enrolment"), path.advanced, keys.element, h("fieldset", {}, h("legend", {}, "Where engineers come from"), sources)),
    h("div.buttons.last", {}, submit("Connect", "Opening support …"), test),
  ], async (button) => {
    if (button === test) {
      await post("/bridge/test", { path: read().path });
      tested();
      return;
    }
    const asked = body();
    await post("/bridge", asked);
    keep("opened", { secret: asked.secret || "" });
    // A secret is for one session, and a token for one use; the rest may serve again.
    secret.input.value = "";
    path.forget();
    grant.forget();
    note();
    await opened();
  });
  note = follow(element, "connection", read);
  const anew = h("button.plain", { type: "button", onclick: () => { drop("connection"); element.dispatchEvent(new CustomEvent("anew")); } }, "Discard what I typed");
  element.querySelector(".buttons.last").append(anew);
  element.tick = time.draw;
  return element;
}

/** Ends the open session later or sooner. */
export function extendForm(secondsLeft, changed) {
  const time = duration("minutes", "End support after, from now", 60);
  const change = async (minutes) => { await put("/bridge/end", { minutes }); await changed(); };
  const more = (text, minutes) => action(text, "Changing …", () => change(Math.max(1, Math.ceil(secondsLeft() / 60) + minutes)), () => element);
  const element = form("Change when support ends", [
    h("div.buttons", {}, more("+15 min", 15), more("+1 h", 60)), time.box,
  ], () => change(time.read()));
  time.box.querySelector(".ends").before(submit("Set", "Changing …", { class: "quiet" }));
  element.tick = time.draw;

  return element;
}
