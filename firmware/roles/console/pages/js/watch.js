// The page Live: every engineer who is in, his terminals as they are now, and what the owner may do about it.

import { get, isAdmin, post } from "./api.js";
import { fill, h, heading, section, theirs } from "./dom.js";
import { action, field, form, problemPlace, submit } from "./forms.js";
import { span } from "./format.js";
import { load } from "./load.js";
import { terminal } from "./screen.js";
import { guard } from "./widgets.js";
import * as live from "./live.js";

const EVERY = 1500;
const LEVELS = { direct: "works by himself", watched: "works while somebody watches", guided: "proposes each line" };

/** One engineer's card. */
function card(one, ask) {
  const state = h("p.state", { role: "status" });
  const proposal = h("div", { "aria-live": "assertive" });
  const tabs = h("div.tabs", { role: "group", "aria-label": "Terminals" });
  const place = h("div.terminals");
  const faults = h("div", {}, problemPlace());
  const act = (label, words, want, kind) => action(label, words, () => ask(one.connection, want), faults, { class: kind || null });
  const pause = act("Pause", "Pausing …", { want: "pause" });
  const resume = act("Let it go on", "Letting it go on …", { want: "resume" }, "main");
  const end = act("End this connection", "Ending …", { want: "end" }, "danger");
  const text = field({ at: "text", label: "Message to the engineer’s screen", value: "", maxlength: 500 });
  const message = form(`Message to ${one.facts.engineer} from ${one.facts.source}, connection ${one.connection}`, [text, h("div.buttons", {}, submit("Send", "Sending …"))], async () => {
    await ask(one.connection, { want: "message", text: text.input.value });
    text.input.value = "";
  });
  let shown = null;
  let chosen = null;
  let names = "";

  function choose(channel) {
    shown?.stop();
    chosen = channel.channel;
    shown = terminal(one.id, channel.channel, `Terminal ${channel.channel} of ${one.facts.engineer}`, () => {});
    fill(place, shown.element);
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(Number(tab.dataset.channel) === chosen));
  }
  function channels(list) {
    const now = list.map((channel) => channel.channel).join();
    if (now === names) return;
    names = now;
    fill(tabs, list.length > 1 && list.map((channel) => h("button", { type: "button", "data-look": true, "data-channel": channel.channel, "aria-pressed": String(channel.channel === chosen), onclick: () => choose(channel) },
      `Terminal ${channel.channel}`, channel.command && [": ", theirs(channel.command)])));
    if (list.length === 0) { if (!shown) fill(place, h("p.hint", {}, "No terminal is open: files, commands and forwards are in the recording.")); } else if (!list.some((channel) => channel.channel === chosen)) choose(list[list.length - 1]);
  }
  let line = null;
  function judge(waiting) {
    if ((waiting?.number ?? null) === line) return;
    line = waiting?.number ?? null;
    if (!waiting) { fill(proposal); return; }
    const { number } = waiting;
    fill(proposal, h("div.proposal", {}, h("p", {}, h("strong", {}, "The engineer wants to run:")), h("pre", { dir: "ltr", tabindex: "0", "aria-label": "Proposed line" }, waiting.line),
      h("div.buttons", {}, act("Let it run", "Approving …", { want: "judge", number, approved: true }, "main"), act("Refuse it", "Refusing …", { want: "judge", number, approved: false }, "danger"))));
    guard(proposal);
  }
  const element = section(h("span", {}, theirs(one.facts.engineer), " from ", theirs(one.facts.source)),
    h("p", {}, theirs(one.facts.grant), ". The engineer ", LEVELS[one.facts.level] || one.facts.level, "."), state, proposal, tabs, place, faults, h("div.buttons", {}, pause, resume, end), message);
  guard(element);
  return {
    element,
    stop: () => shown?.stop(),
    update: (now, supervised) => {
      const held = supervised?.hold;
      const words = [`In for ${span(now.seconds)}.`, now.failed ? `NOT RECORDED: ${now.failed}` : "Recorded.",
        supervised?.watchers.length ? `Watched by ${supervised.watchers.join(", ")}.` : "Nobody watches.",
        held?.why === "paused" && `Paused by ${held.by}: nothing typed is taken.`, held?.why === "unwatched" && `Nothing typed is taken: somebody must watch. Ends in ${held.seconds} s.`].filter(Boolean).join(" ");
      if (state.textContent !== words) fill(state, words);
      pause.hidden = held?.why === "paused";
      resume.hidden = held?.why !== "paused";
      judge(supervised?.proposal);
      channels(now.channels);
    },
  };
}

export function open(main) {
  const place = h("div");
  const people = h("div");
  fill(main, heading("Live"), place, people);
  const cards = new Map();
  let timer = 0;
  let gone = false;

  const ask = async (connection, body) => { await post(`/bridge/visitors/${connection}`, body); await live.ask("bridge"); };

  function update({ live: list }) {
    const supervised = new Map((live.now("bridge")?.visitors || []).map((visitor) => [visitor.connection, visitor.supervised]));
    for (const [connection, one] of cards) {
      if (!list.some((now) => now.connection === connection)) { one.stop(); one.element.remove(); cards.delete(connection); }
    }
    for (const now of list) {
      let one = cards.get(now.connection);
      if (!one) { one = card(now, ask); cards.set(now.connection, one); people.append(one.element); }
      one.update(now, supervised.get(now.connection));
    }
    return list.length === 0 ? h("p", {}, "No engineer is in. Whoever comes in is shown here, with the terminal as it is.") : h("p.hint", {}, "What you see is what the engineer sees. He is told who watches.");
  }
  // Whoever has the page before him watches; whoever looks elsewhere does not.
  const watching = (want) => (isAdmin() ? Promise.allSettled([...cards.keys()].map((connection) => post(`/bridge/visitors/${connection}`, { want }))) : null);
  async function again() {
    try {
      if (!document.hidden) {
        const found = await get("/live", true);
        if (gone) return;
        const words = update(found);
        if (place.textContent !== words.textContent) fill(place, words);
        await watching("watch");
      }
    } catch { /* the banner says so */ }
    if (!gone) timer = setTimeout(again, EVERY);
  }
  const hidden = () => { if (document.hidden) watching("leave"); else { clearTimeout(timer); again(); } };
  document.addEventListener("visibilitychange", hidden);
  load(place, () => get("/live"), update, "who is in");
  timer = setTimeout(again, 200);
  return () => {
    gone = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", hidden);
    watching("leave");
    for (const one of cards.values()) one.stop();
  };
}
