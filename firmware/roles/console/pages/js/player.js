// A finished recording, played: the appliance draws the terminal, and this shows its pictures at their times.

import { get } from "./api.js";
import { facts, fill, h, heading, say, section, theirs, unique } from "./dom.js";
import { field, form, showFault, submit } from "./forms.js";
import { date, span } from "./format.js";
import { load } from "./load.js";
import { board } from "./screen.js";

const TICK = 50;
/** Nothing that happens for longer than this is passed over. */
const IDLE = 1000;
const SPEEDS = [["0.5", "Half"], ["1", "As it was"], ["2", "2 times"], ["4", "4 times"], ["8", "8 times"], ["16", "16 times"]];
const AHEAD = 20;

/** 75_300 -> "1:15". */
export function clock(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Plays one terminal: `changed()` is told whenever time or state is another. */
function engine(id, channel, length, shown, changed) {
  let [position, frames, next, generation] = [0, [], null, 0];
  let [playing, busy, note, failed] = [false, false, "", null];
  let [speed, skips] = [1, true];
  let timer = 0;
  let last = 0;

  const ask = (what) => get(`/recordings/${id}/play?channel=${channel}&${what}`);
  /** What the appliance answers, once it has time for it; null when something else is wanted meanwhile. */
  async function patiently(what, mine) {
    for (let tries = 0; ; tries += 1) {
      try {
        const found = await ask(what);
        return mine === generation ? found : null;
      } catch (problem) {
        if (mine !== generation) return null;
        if (problem.code !== "busy" || tries > 20) throw problem;
        await pause(1000);
      }
    }
  }
  function fail(problem) {
    clearInterval(timer);
    [playing, busy, note, failed] = [false, false, "", problem];
    changed();
  }
  async function seek(to) {
    const mine = (generation += 1);
    position = Math.min(Math.max(0, to), length);
    [frames, next, busy, note, failed] = [[], null, true, "Drawing the screen of then …", null];
    changed();
    try {
      let found = null;
      do {
        found = await patiently(`at=${Math.round(position)}`, mine);
        if (!found) return;
        if (found.seeking) { note = `Drawing the screen of then: read up to ${clock(found.reached)} …`; changed(); }
      } while (found.seeking);
      // The first picture is the whole screen.
      shown.clear();
      take(found);
      show();
    } catch (problem) { if (mine === generation) fail(problem); }
  }
  function take(found) {
    frames.push(...found.frames);
    next = found.next;
    [busy, note] = [false, found.fault];
    changed();
  }
  async function more() {
    const mine = generation;
    busy = true;
    try {
      const found = await patiently(`next=${next}`, mine);
      if (found) take(found);
    } catch (problem) {
      if (mine !== generation) return;
      if (problem.code === "anew") seek(position); else fail(problem);
    }
  }
  /** Draws what has come up to now. */
  function show() {
    while (frames.length && frames[0].at <= position) shown.draw(frames.shift());
    if (frames.length < AHEAD && next !== null && !busy) more();
  }
  function tick() {
    const now = performance.now();
    const gone = (now - last) * speed;
    last = now;
    // What is not here yet is waited for.
    if (frames.length === 0 && (busy || next !== null)) { show(); return; }
    position = Math.min(position + gone, length);
    const end = frames.length ? frames[0].at : length;
    if (skips && end - position > IDLE * Math.max(1, speed)) position = end - IDLE / 2;
    show();
    if (position >= length && frames.length === 0) { playing = false; clearInterval(timer); }
    changed();
  }
  return {
    seek,
    play(want) {
      if (want && position >= length) seek(0);
      playing = want;
      clearInterval(timer);
      last = performance.now();
      if (want) timer = setInterval(tick, TICK);
      changed();
    },
    set(how) { [speed, skips] = [how.speed, how.skips]; },
    state: () => ({ position, playing, busy, note, failed }),
    stop() { generation += 1; clearInterval(timer); },
  };
}

/** A list of places in time, each a button that leads there. */
const places = (list, go) => list.map((one) => h("li", {}, h("button.link", { type: "button", "data-look": true, onclick: () => go(one.at) }, h("span.time", {}, clock(one.at)), " ", theirs(one.text))));

/** Searches the text that was on the terminal. */
function searchForm(id, channel, go) {
  const found = h("ol.moments");
  const word = h("p.hint", { role: "status" });
  const text = field({ at: "text", label: "Text on the screen", value: "", maxlength: 100, "data-look": true });
  let turn = 0;
  const element = form("Search in the recording", [text, h("div.buttons", {}, submit("Search", "Searching …", { class: "quiet", "data-look": true }))], async () => {
    const mine = (turn += 1);
    const wanted = encodeURIComponent(text.input.value.trim());
    let [hits, next, answer] = [[], "", null];
    fill(found);
    do {
      answer = await get(`/recordings/${id}/search?channel=${channel}&text=${wanted}${next}`);
      if (mine !== turn) return;
      hits = [...hits, ...answer.hits];
      fill(found, places(hits.map(({ at, line }) => ({ at, text: line })), go));
      next = `&next=${answer.next}`;
      say(word, `${hits.length} ${hits.length === 1 ? "place" : "places"}; read up to ${clock(answer.reached)} …`);
    } while (answer.next !== null && hits.length < 200);
    say(word, hits.length === 0 ? "This was not on the screen." : `${hits.length} ${hits.length === 1 ? "place" : "places"}${answer.next === null ? "." : ", and there may be more: search for something longer."}`);
  });
  return { element: h("div", {}, element, word, found), stop: () => { turn += 1; } };
}

/** One terminal with its buttons. */
function deck(id, terminal, story) {
  const shown = board(`Terminal ${terminal.channel}`);
  const length = story.milliseconds;
  const name = unique("at");
  const slider = h("input", { type: "range", id: name, min: 0, max: Math.max(1, length), step: 100, value: "0", "data-look": true });
  const marks = h("div.marks", { "aria-hidden": true });
  const time = h("span.left");
  const note = h("p.hint", { role: "status" });
  const fault = h("div", {}, h("div.problem", { role: "alert", hidden: true, tabindex: "-1" }));
  const speed = field({ at: "speed", label: "Speed", kind: "select", options: SPEEDS, value: "1", "data-look": true });
  const skips = field({ at: "skips", label: "Pass over what is idle", kind: "check", value: true, "data-look": true });
  const button = h("button.main", { type: "button", "data-look": true, onclick: () => run.play(!run.state().playing) }, "Play");
  let waits = 0;
  let told = null;
  const changed = () => {
    const { position, playing, busy, note: words, failed } = run.state();
    const at = clock(position);
    if (!waits) slider.value = String(position);
    slider.setAttribute("aria-valuetext", `${at} of ${clock(length)}`);
    say(time, `${at} of ${clock(length)}`);
    say(button, playing ? "Pause" : "Play");
    if (busy && !playing) shown.element.setAttribute("aria-busy", "true"); else shown.element.removeAttribute("aria-busy");
    say(note, words);
    if (failed !== told) { told = failed; if (failed) showFault(fault, failed); else fault.firstChild.hidden = true; }
  };
  const run = engine(id, terminal.channel, length, shown, changed);
  const go = (at) => { run.seek(at); shown.element.scrollIntoView({ block: "nearest" }); };
  slider.addEventListener("input", () => {
    clearTimeout(waits);
    say(time, `${clock(Number(slider.value))} of ${clock(length)}`);
    waits = setTimeout(() => { waits = 0; run.seek(Number(slider.value)); }, 200);
  });
  const how = () => run.set({ speed: Number(speed.input.value), skips: skips.input.checked });
  for (const one of [speed, skips]) one.addEventListener("change", how);
  how();
  for (const one of story.events) {
    const mark = h("span");
    mark.style.insetInlineStart = `${Math.min(100, (one.at / Math.max(1, length)) * 100)}%`;
    marks.append(mark);
  }
  const search = searchForm(id, terminal.channel, go);
  run.seek(Math.min(terminal.at, length));
  return {
    go,
    element: h("div.deck", {}, h("div.terminal", {}, shown.element), note, fault,
      h("div", {}, h("label.unseen", { for: name }, "Time in the recording"), slider, marks),
      h("div.buttons", {}, button, time), h("div.filters", {}, speed, skips),
      h("div.buttons", {}, h("a.button", { href: `/api/v1/recordings/${id}/cast?channel=${terminal.channel}`, download: `drawbridge-${id}-${terminal.channel}.cast` }, "Download this terminal as asciicast")),
      h("h3", {}, "Search"), search.element),
    stop: () => { clearTimeout(waits); run.stop(); search.stop(); },
  };
}

/** The page of one recording. */
export function player(main, id) {
  const place = h("div");
  let now = null;
  fill(main, heading("Recording"), h("p", {}, h("a", { href: "#/recordings" }, "All recordings")), place);
  load(place, () => get(`/recordings/${encodeURIComponent(id)}/events`), (story) => {
    const { facts: who, terminals } = story;
    now?.stop();
    now = null;
    const holder = h("div.terminals");
    const choose = (terminal) => {
      now?.stop();
      now = deck(story.id, terminal, story);
      fill(holder, now.element);
      for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(Number(tab.dataset.channel) === terminal.channel));
    };
    const tabs = h("div.tabs", { role: "group", "aria-label": "Terminals" }, terminals.length > 1 && terminals.map((one) => h("button", { type: "button", "data-look": true, "data-channel": one.channel, onclick: () => choose(one) },
      `Terminal ${one.channel}`, one.command && [": ", theirs(one.command)])));
    if (terminals.length) choose(terminals[0]);
    else if (story.recipient) fill(holder, h("p", {}, "This recording is encrypted to ", h("code", {}, theirs(story.recipient)), ": only who has the private key can see what happened. Download it, and open it with the program ", h("code", {}, "verify"), "."));
    else fill(holder, h("p", {}, "No terminal was open: what happened is below, and files are in the download."));
    return [section(who ? ["Terminals of ", theirs(who.engineer)] : "Terminals", tabs, holder),
      section("What happened", story.events.length ? h("ol.moments", {}, places(story.events, (at) => now?.go(at))) : h("p", {}, "Nothing beside what was seen."), story.cut && h("p.hint", {}, "There is more: it is in the download.")),
      section("The recording", facts(["Began", date(story.began)], ["Took", span(story.milliseconds / 1000)], ["Support session", who && theirs(who.grant)], ["From", who && theirs(who.source)], ["Its end", story.end && theirs(story.end)]),
        h("div.buttons", {}, h("a.button", { href: `/api/v1/recordings/${story.id}.tar`, download: `drawbridge-${story.id}.tar` }, "Download all of it")))];
  }, "the recording");
  return () => now?.stop();
}
