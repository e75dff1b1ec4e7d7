// The menu: who is logged in and for how long, log out, and what restarts the appliance or a part of it.

import { isAdmin, logOut, person, post } from "./api.js";
import { busy } from "./forms.js";
import { fill, h, theirs } from "./dom.js";
import { ask, toast } from "./widgets.js";
import { span } from "./format.js";
import * as live from "./live.js";

let left = null;
const place = h("p.hint");
const ROLES = { admin: "administrator: may do everything", viewer: "viewer: may look, and change nothing", grant: "may look, and open and stop the support session of the grant" };
const WAYS = { array: "by the array", sso: "by the array’s single sign-on", challenge: "by a challenge", grant: "by a grant" };

/** What the stream says about the session's end. */
export function timeLeft(time) {
  left = { ...time, heard: Date.now() };
  draw();
}

function draw() {
  const known = left || (person() && { ...person(), heard: Date.now() });
  if (!known) return;
  const gone = (Date.now() - known.heard) / 1000;
  const [all, idle] = [known.seconds_left - gone, (known.idle_seconds_left ?? known.seconds_left) - gone];
  fill(place, `Your session ends in ${span(all)}`, idle < all && `, or after ${span(idle)} in which you do nothing`, ".");
}

export function drawMenu(gone) {
  left = null;
  const me = person();
  const button = h("summary", {}, "Menu");
  const item = (text, what, danger) => {
    const one = h("button", { type: "button", class: danger ? "danger-text" : "", onclick: async () => { menu.open = false; await what(one); button.focus?.(); } }, text);
    if (!isAdmin()) one.disabled = true;
    return one;
  };
  const out = h("button", { type: "button", onclick: () => busy(out, "Logging out …", async () => {
    try { await logOut(); gone(); } catch (problem) { toast(`${problem.detail} ${problem.remedy}`, "bad"); }
  }) }, "Log out");
  const menu = h("details.menu", { ontoggle: () => menu.open && draw() }, button, h("div.menu-body", {},
    h("p", {}, "Logged in as ", h("strong", {}, theirs(me.name)), me.way && ` ${WAYS[me.way] || ""}`), h("p.hint", {}, `${ROLES[me.role] || me.role}.`), place,
    h("div.stack", {}, out, item("Reload Service", reload), item("Restart", () => power("restart")), item("Power off", () => power("off"), true)),
    !isAdmin() && h("p.hint", {}, "Only an administrator can reload, restart or power off.")));
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) { menu.open = false; button.focus(); }
  });
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  document.addEventListener("click", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
  draw();
  return menu;
}

const isOpen = () => live.now("bridge") && live.now("bridge").state !== "closed";

async function reload() {
  const force = isOpen();
  await ask({
    title: "Reload the support service?", yes: "Reload Service", words: "Reloading …", danger: force,
    text: ["The part of the appliance that does remote support is started anew. It takes a few seconds; network and console go on.",
      force ? "A support session is open: it ends now, and engineers are cut off." : "No support session is open: nothing is cut off."],
    work: async () => { await post("/service/reload", force ? { force: true } : {}); toast("The support service is being reloaded."); },
  });
}

async function power(action) {
  const restart = action === "restart";
  await ask({
    title: restart ? "Restart the appliance?" : "Power the appliance off?", yes: restart ? "Restart" : "Power off", words: restart ? "Restarting …" : "Powering off …",
    text: [restart ? "The appliance is away for a minute or two. This page waits, and goes on by itself; you have to log in again."
      : "The appliance stays off until somebody switches it on at the machine itself. This page cannot do that.",
    isOpen() ? "A support session is open: it ends now, and engineers are cut off." : "No support session is open."],
    work: async () => { await post("/power", { action }); toast(restart ? "The appliance is restarting." : "The appliance is powering off."); },
  });
}
