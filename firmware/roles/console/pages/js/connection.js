// The page Connection: the form while support is closed, and the live state while it is open.

import { get, maySupport } from "./api.js";
import { STATES, secondsLeft, stopButton } from "./bar.js";
import { connectionForm, extendForm, lastSecret } from "./connection-form.js";
import { copyButton, guard } from "./widgets.js";
import { facts, fill, h, heading, say, section, theirs } from "./dom.js";
import { moment, span } from "./format.js";
import { drop } from "./drafts.js";
import { load } from "./load.js";
import { testSteps } from "./steps.js";
import * as live from "./live.js";

const LINK = { down: "Not connected", connecting: "Connecting …", connected: "Connected", waiting: "Waiting, then trying again" };
const LEVEL = { direct: "Direct", watched: "Watched", guided: "Guided" };
const PROOF = { secret: "By the secret", key: "By a key", key_and_secret: "By a key and the secret" };

/** The open session, drawn anew at each change but for what a person is in the middle of. */
function openView() {
  const state = h("h2", { id: "state" });
  const words = h("div");
  const people = h("div");
  const link = h("div");
  const burned = h("div", { role: "alert" });
  const time = h("dd");
  const secret = h("div");
  const device = h("div");
  let bridge = null;
  const extend = extendForm(() => (bridge ? secondsLeft(bridge) || 0 : 0), () => live.ask("bridge"));
  const element = h("section.sheet.open", { "aria-labelledby": "state" }, state, burned, link, h("h3", {}, "Who is in"), people, h("h3", {}, "This session"), words, secret,
    h("h3", {}, "Time"), h("dl.facts", {}, h("div", {}, h("dt", {}, "Time left"), time)), extend, device,
    h("div.buttons.last", {}, stopButton()));

  load(device, () => get("/device"), (found) => h("details.more", {}, h("summary", { "data-look": true }, "For the engineer: this appliance’s keys"), facts(
    ["Serial number", found.serial && theirs(found.serial)], ["Host key’s fingerprint", h("code", {}, found.host_fingerprint)], ["Host key", h("code", {}, found.host_key)], ["Login key", found.login_key && h("code", {}, found.login_key)], ["Key that signs recordings", found.evidence_fingerprint && h("code", {}, found.evidence_fingerprint)])), "its keys");

  function drawSecret() {
    if (!lastSecret() || bridge.grant?.proof === "key") { fill(secret); return; }
    if (secret.firstChild) return;
    const shown = h("code.secret", { hidden: true }, lastSecret());
    const show = h("button", { type: "button", "data-look": true, onclick: () => { shown.hidden = !shown.hidden; show.textContent = shown.hidden ? "Show the secret" : "Hide the secret"; } }, "Show the secret");
    fill(secret, h("p", {}, "Tell the engineer the secret. It is kept in this window only, until you close it."), h("div.buttons", {}, show, copyButton("Copy the secret", () => lastSecret(), () => shown)), shown);
  }

  function draw(next) {
    bridge = next;
    const grant = next.grant;
    say(state, STATES[next.state] || next.state);
    if (burned.dataset.is !== String(next.burned)) {
      burned.dataset.is = String(next.burned);
      fill(burned, next.burned && h("div.alarm.warn", {}, h("p", {}, h("strong", {}, "The secret is burned: it was guessed wrongly too often, and lets nobody in any more. "), "Who is in stays in. To let somebody else in, press Stop, and connect again with a new secret.")));
    }
    fill(link, h("p", {}, h("strong", {}, `Link to the support server: ${LINK[next.link.state] || next.link.state}`), next.link.system && [" (", theirs(next.link.system), ")"]),
      next.link.takes_recordings === false && h("p", {}, "This server takes no recordings: they stay on the appliance, on the page Recordings."),
      next.link.why && h("p", {}, theirs(next.link.why)), next.link.remedy && h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(next.link.remedy)));
    fill(people, next.visitors.length === 0 ? h("p", {}, "Nobody. You are told here when an engineer comes.") : h("ul.people", {}, next.visitors.map((one) =>
      h("li", {}, "Engineer ", h("strong", {}, theirs(one.name)), " from ", theirs(one.source), " is in since ", moment(next.heard - one.seconds * 1000), "."))));
    if (grant) {
      const can = [grant.scope.shell && "command line", grant.scope.files && "files", grant.scope.forwards && "targets"].filter(Boolean).join(", ");
      fill(words, facts(["Name", theirs(grant.name)], ["Opened by", theirs(grant.opener)], ["By a grant", next.approved_by && ["for case ", theirs(next.approved_by.case), ", signed by ", theirs(next.approved_by.signer)]], ["Reason", grant.reason && theirs(grant.reason)], ["Level", LEVEL[grant.level] || grant.level],
        ["May use", can], ["Targets", grant.scope.targets.length > 0 ? grant.scope.targets.map((one) => h("div", {}, theirs(one))) : "none"],
        ["Lets in", `${PROOF[grant.proof] || grant.proof}${grant.keys ? ` (${grant.keys} ${grant.keys === 1 ? "key" : "keys"})` : ""}`], ["From", grant.sources.length > 0 ? grant.sources.join(", ") : "anywhere"]));
    }
    drawSecret();
    tick();
  }
  function tick() {
    if (!bridge) return;
    const seconds = secondsLeft(bridge);
    say(time, seconds === null ? "–" : `${span(seconds)}, ends ${moment(Date.now() + seconds * 1000)}`);
    extend.tick();
  }
  return { element, draw, tick };
}

export function open(main) {
  const state = h("p.state");
  const live_ = openView();
  const closed = h("div");
  const steps = testSteps();
  let element = null;
  const draw = ([last, profile]) => {
    element = connectionForm(last, profile, { opened: () => live.ask("bridge"), tested: steps.begin });
    element.addEventListener("anew", () => { again(); main.querySelector("h1").focus(); });
    return guard(section("Open support", element), maySupport());
  };
  fill(main, heading("Connection"), state, live_.element, closed, steps.element);
  guard(live_.element, maySupport());
  live_.element.hidden = true;
  const again = load(closed, () => Promise.all([get("/bridge/last"), get("/profile")]), draw, "what was last used");
  let before = null;
  const off = live.watch("bridge", (bridge) => {
    const isOpen = bridge.state !== "closed";
    live_.element.hidden = !isOpen;
    closed.hidden = isOpen;
    fill(state, isOpen ? "" : [h("strong", {}, "Support is closed. "), "Nobody can come in from outside.", bridge.last_end && [" ", theirs(bridge.last_end)]]);
    if (isOpen) live_.draw(bridge);
    // What had the focus has just gone out of sight: the heading takes it.
    if (before !== null && before !== isOpen && (document.activeElement === document.body || !document.activeElement?.offsetParent)) {
      main.querySelector("h1").focus();
    }
    if (before && !isOpen) drop("opened");
    if (before === false && isOpen) steps.hide();
    before = isOpen;
  });
  if (!live.now("bridge")) fill(state, "Asking the appliance …");
  const timer = setInterval(() => { live_.tick(); element?.tick(); }, 1000);
  return () => { off(); steps.stop(); clearInterval(timer); };
}
