// Keeps what changes up to date: a stream of events, polling where streams do not pass, and trying again by itself.

import { get, onChange, refresh, tell } from "./api.js";

const values = { bridge: null, test: null, network: null };
const watchers = { bridge: new Set(), test: new Set(), network: new Set() };
const LONGEST_WAIT = 5000;
const POLL = 2000;
let stream = null;
let timer = 0;
let poller = 0;
let failures = 0;
let unopened = 0;
let wanted = false;
let away = false;

/** The last known value, or null. */
export const now = (name) => values[name];

/** Calls with the value now, if there is one, and at each change. Returns how to stop that. */
export function watch(name, listener) {
  watchers[name].add(listener);
  if (values[name]) listener(values[name]);
  return () => watchers[name].delete(listener);
}

/** What has been heard: from the stream, or in an answer. */
export function heard(name, value) {
  if (!value) return;
  value.heard = Date.now();
  values[name] = value;
  for (const listener of [...watchers[name]]) listener(value);
}

/** Asks for one of them at once: after a click one does not wait for the stream. */
export async function ask(name, quietly = true) {
  const value = await get({ bridge: "/bridge", test: "/bridge/test", network: "/network" }[name], quietly);
  heard(name, value);
  return value;
}

export function start() {
  wanted = true;
  unopened = 0;
  open();
}

export function stop() {
  wanted = false;
  close();
  for (const name of Object.keys(values)) values[name] = null;
}

function close() {
  clearTimeout(timer);
  clearTimeout(poller);
  poller = 0;
  if (stream) stream.close();
  stream = null;
}

function open() {
  close();
  if (!wanted) return;
  const mine = new EventSource("/api/v1/events");
  let opened = false;
  stream = mine;
  // A proxy that holds the stream back says nothing at all, not even an error.
  const silent = setTimeout(() => { if (!opened && stream === mine) { unopened = 3; lost(false); } }, 4000);
  mine.onopen = () => {
    opened = true;
    unopened = 0;
    clearTimeout(silent);
    reached();
  };
  for (const name of Object.keys(values)) mine.addEventListener(name, (event) => read(name, event.data));
  mine.addEventListener("session", (event) => {
    try { tell("time", JSON.parse(event.data)); } catch { /* the next one comes */ }
  });
  mine.addEventListener("end", () => {
    close();
    refresh().catch(() => {}).then(() => tell("no-session"));
  });
  mine.onerror = () => {
    clearTimeout(silent);
    if (stream === mine) lost(opened);
  };
}

function read(name, text) {
  try { heard(name, JSON.parse(text)); } catch { /* half a line: the stream begins with all of it again */ }
}

/** The stream has ended. It does so every two minutes, which is nobody's business unless it does not come back. */
async function lost(opened) {
  close();
  if (!opened) unopened += 1;
  try {
    const session = await refresh();
    if (!wanted) return;
    reached();
    if (!session.person) { tell("no-session"); return; }
    if (unopened >= 3) poll();
    else timer = setTimeout(open, opened ? 300 : 1000);
  } catch {
    if (wanted) missed();
  }
}

function missed() {
  failures += 1;
  if (!away) {
    away = true;
    tell("lost");
  }
  clearTimeout(timer);
  timer = setTimeout(() => lost(true), Math.min(LONGEST_WAIT, 400 * 2 ** failures));
}

/** The appliance answers: what the banner waits for. */
function reached() {
  failures = 0;
  if (away) {
    away = false;
    tell("back");
  }
}

async function poll() {
  const began = Date.now();
  try {
    await Promise.all([ask("bridge"), ask("network"), ask("test")]);
    reached();
  } catch (problem) {
    if (problem.code === "no-session") return;
    if (problem.code === "away") { missed(); return; }
  }
  // Once in a while the stream is tried again: what held it back may be gone.
  if (wanted) poller = setTimeout(Math.random() < 0.05 ? open : poll, Math.max(0, POLL - (Date.now() - began)));
}

/** Starts trying at once, after a call of somebody else's has found the appliance away. */
onChange((what) => {
  if (what !== "lost" || away) return;
  away = true;
  failures = 0;
  if (wanted) {
    close();
    timer = setTimeout(() => lost(true), 500);
  } else {
    timer = setTimeout(waitForIt, 500);
  }
});

/** Without a session there is no stream: the login page waits by asking. */
async function waitForIt() {
  try {
    await refresh();
    reached();
  } catch {
    failures += 1;
    timer = setTimeout(waitForIt, Math.min(LONGEST_WAIT, 400 * 2 ** failures));
  }
}

/** Called where the first question of all has failed. */
export const seek = () => tell("lost");
