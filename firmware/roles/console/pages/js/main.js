// The shell: who is logged in, which page is shown, and what lies over it when the session or the appliance is gone.

import { names, onChange, ownGrant, person, refresh, session } from "./api.js";
import { fill, h } from "./dom.js";
import { dropAll } from "./drafts.js";
import { forget, retry } from "./load.js";
import { login } from "./login.js";
import * as live from "./live.js";
import { bar } from "./bar.js";
import { drawMenu, timeLeft } from "./menu.js";
import { toast } from "./widgets.js";
import * as connection from "./connection.js";
import * as network from "./network.js";
import * as certificates from "./certificates.js";
import * as array from "./array.js";
import * as watch from "./watch.js";
import * as recordings from "./recordings.js";
import * as audit from "./audit.js";
import * as notifications from "./notifications.js";
import * as logs from "./logs.js";
import * as health from "./health.js";

const PAGES = {
  connection: ["Connection", connection], live: ["Live", watch], network: ["Network", network], certificates: ["Certificates", certificates],
  array: ["Array", array], recordings: ["Recordings", recordings], audit: ["Audit", audit], notifications: ["Notifications", notifications], logs: ["Logs", logs], health: ["Health", health],
};
/** What belongs to the owner alone is not offered to whoever has come by a grant. */
const OWN = ["audit", "notifications"];
const main = document.getElementById("main");
const top = document.getElementById("top");
const alarms = document.getElementById("alarms");
let leave = () => {};
let shown = null;
let overlay = null;
let who = null;

const way = () => location.hash.slice(2).split("/");
const route = () => (PAGES[way()[0]] ? way()[0] : "connection");
const same = (one, other) => one && other && one.name === other.name && one.role === other.role;

function drawTop() {
  const name = session?.system?.name || names().appliance;
  const brand = h("p.brand", {}, h("img", { src: "/icon.svg", alt: "", width: 28, height: 28 }),
    h("span", {}, h("span.product", {}, names().appliance), h("bdi.name", { dir: "auto" }, name)));
  const at = route();
  const nav = person() && h("nav", { "aria-label": "Pages" }, h("ul", {}, Object.entries(PAGES).filter(([key]) => !ownGrant() || !OWN.includes(key)).map(([key, [title]]) =>
    h("li", {}, h("a", { href: `#/${key}`, "aria-current": key === at ? "page" : null }, title)))));
  fill(top, brand, person() && drawMenu(gone), nav);
}

function markNav() {
  const at = route();
  for (const link of top.querySelectorAll("nav a")) {
    if (link.hash === `#/${at}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function show(focus = true) {
  const at = route();
  leave();
  forget();
  markNav();
  main.replaceChildren();
  shown = at;
  document.title = `${PAGES[at][0]} – ${session?.system?.name || names().appliance}`;
  leave = PAGES[at][1].open(main, way()[1]) || (() => {});
  if (focus) { main.querySelector("h1")?.focus({ preventScroll: true }); scrollTo(0, 0); }
}

function enter() {
  who = person();
  drawTop();
  bar.open();
  live.start();
  show();
}

/** Nobody is logged in, and no page is open: the login is the page. */
function outside(focus) {
  live.stop();
  bar.close();
  leave();
  leave = () => {};
  shown = null;
  drawTop();
  document.title = `Log in – ${names().appliance}`;
  fill(main, login(session, false, enter));
  if (focus) main.querySelector("h1").focus();
}

/** Logged out by the person's own wish. */
function gone() {
  dropAll();
  who = null;
  outside(true);
  toast("You are logged out.");
}

/** The session is over while a page is open: the login lies over it, and the page stays as it was. */
function over() {
  if (!shown) { outside(false); return; }
  live.stop();
  if (overlay) return;
  const back = document.activeElement;
  const dialog = h("dialog.over", { "aria-labelledby": "login-title" });
  overlay = dialog;
  dialog.append(login(session, true, () => {
    overlay = null;
    dialog.close();
    fill(alarms.querySelector(".out"));
    if (same(who, person())) {
      live.start();
      drawTop();
      retry();
      back?.focus?.();
      toast("You are logged in again. Nothing was lost: press the button once more if something was not sent.");
    } else {
      dropAll();
      enter();
    }
  }));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (overlay !== dialog) return;
    overlay = null;
    fill(alarms.querySelector(".out"), h("div.alarm.warn", {}, h("p", {}, "You are logged out. This page shows what was last known."),
      h("button", { type: "button", onclick: over }, "Log in again")));
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("[name=user]")?.focus();
}

function away(gone_) {
  const place = alarms.querySelector(".away");
  if (!gone_) { fill(place); return; }
  if (place.firstChild) return;
  fill(place, h("div.alarm.warn", {}, h("p", {}, h("strong", {}, "The connection to the appliance is lost. "),
    "Trying again …  It may be restarting, which takes a minute or two. What you typed stays here, and this page goes on by itself.")));
}

async function boot() {
  try {
    await refresh();
  } catch (problem) {
    if (problem.code === "away") { live.seek(); return; }
    fill(main, h("div.problem", { role: "alert" }, h("p", {}, problem.detail || "The console could not start."), h("p", {}, problem.remedy || "Load the page again.")));
    return;
  }
  if (person()) enter();
  else outside(false);
}

fill(alarms, h("div.out", { role: "alert" }), h("div.away", { role: "alert" }));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the page's
  (main.querySelector("h1") || main).focus();
});
addEventListener("hashchange", () => { if (shown) show(); });
onChange((what, detail) => {
  if (what === "lost") away(true);
  if (what === "back") {
    away(false);
    if (shown) toast("The appliance answers again.");
    else if (!main.querySelector(".login")) boot();
  }
  if (what === "no-session") over();
  if (what === "time") timeLeft(detail);
});
boot();
