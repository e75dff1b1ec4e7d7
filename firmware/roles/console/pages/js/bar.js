// The bar that stays on every page while support is open: state, time left, who is in, and Stop.

import { isAdmin, ownGrant, remove } from "./api.js";
import { busy } from "./forms.js";
import { fill, h, say, theirs } from "./dom.js";
import { span } from "./format.js";
import { toast } from "./widgets.js";
import * as live from "./live.js";

export const STATES = { closed: "Support is closed", opening: "Support is being opened", open: "Support is open", closing: "Support is being closed", failed_to_close: "Support could not be closed completely" };

const place = document.getElementById("bar");
const state = h("strong");
const left = h("span.left", { role: "timer" });
const people = h("span.guests");
const words = h("p.bar-words", {}, state, left, people);
let known = null;
let off = null;
let timer = 0;

/** Ends support with one click, wherever the button stands. */
export const stopButton = () => {
  const one = h("button.stop", { type: "button", onclick: () => busy(one, "Stopping …", async () => {
    try {
      await remove("/bridge");
      toast("Support is being closed: engineers are cut off now.");
      await live.ask("bridge");
    } catch (problem) {
      if (problem.code !== "no-session") toast(`Support was not stopped. ${problem.detail} ${problem.remedy}`, "bad");
    }
  }) }, "Stop");
  one.setAttribute("aria-label", "Stop support");
  return one;
};
const button = stopButton();
const sheet = h("section.bar", { "aria-label": "Open support session" }, words, button);
const alarm = h("div", { role: "alert" });

/** Seconds that are left, counted on from when the appliance said so. */
export const secondsLeft = (bridge) => (bridge.seconds_left === null || bridge.seconds_left === undefined ? null
  : Math.max(0, bridge.seconds_left - (Date.now() - bridge.heard) / 1000));

function tick() {
  if (!known) return;
  const seconds = secondsLeft(known);
  say(left, seconds === null ? "" : `${span(seconds)} left`);
}

function newcomers(before, after) {
  if (!before) return;
  const had = new Map(before.visitors.map((one) => [one.connection, one]));
  for (const one of after.visitors) {
    if (!had.delete(one.connection)) toast(["Engineer ", theirs(one.name), " from ", theirs(one.source), " is in."], "person");
  }
  for (const one of had.values()) toast(["Engineer ", theirs(one.name), " from ", theirs(one.source), " has left."]);
}

function draw(bridge) {
  newcomers(known, bridge);
  if (known && known.state !== bridge.state && bridge.state === "closed") toast("Support is closed. Nobody can come in.");
  known = bridge;
  const open = bridge.state !== "closed";
  document.body.dataset.bridge = bridge.state;
  if (!open) { fill(place); quiet(); document.documentElement.classList.remove("with-bar"); return; }
  document.documentElement.classList.add("with-bar");
  say(state, STATES[bridge.state] || bridge.state);
  const count = bridge.visitors.length;
  fill(people, count === 0 ? "Nobody is in" : count === 1 ? [theirs(bridge.visitors[0].name), " is in"] : `${count} engineers are in`);
  // The appliance decides; who came by a grant is not offered what it would refuse.
  const may = isAdmin() || Boolean(ownGrant() && bridge.approved_by?.case === ownGrant().case);
  button.disabled = !may || bridge.state === "closing";
  button.title = may ? "" : "Only an administrator can stop support.";
  const failed = bridge.state === "failed_to_close";
  const text = failed ? `${bridge.leftovers ? `Still there: ${bridge.leftovers}. ` : ""}The appliance goes on trying. Press Stop again; if this stays, restart the appliance (Menu, Restart), which ends everything.` : "";
  if (alarm.dataset.text !== text) {
    alarm.dataset.text = text;
    fill(alarm, failed && h("div.alarm", {}, h("p", {}, h("strong", {}, "Support could not be closed completely. "), text)));
  }
  if (sheet.parentElement !== place) fill(place, sheet);
  tick();
}

function quiet() {
  alarm.dataset.text = "";
  fill(alarm);
}

export const bar = {
  open() {
    bar.close();
    document.getElementById("alarms").append(alarm);
    off = live.watch("bridge", draw);
    timer = setInterval(tick, 1000);
  },
  close() {
    if (off) off();
    clearInterval(timer);
    known = null;
    quiet();
    fill(place);
    document.documentElement.classList.remove("with-bar");
    delete document.body.dataset.bridge;
  },
};
