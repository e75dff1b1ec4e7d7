// The page Recordings: what engineers have done, each connection to be played or taken away as one file, and how it is checked.

import { get } from "./api.js";
import { atServer } from "./at-server.js";
import { fill, h, heading, result, section, table, theirs } from "./dom.js";
import { encryptForm } from "./encrypt-form.js";
import { date, groups, kib, span } from "./format.js";
import { load } from "./load.js";
import { player } from "./player.js";

const EVERY = 10_000;
const size = (bytes) => kib(Math.ceil(bytes / 1024));

const state = (one) => (one.running ? result("running", "Under way") : result(one.confirmed ? "pass" : "skip", one.confirmed ? "At the support server, too" : "Only here"));

function rows(list) {
  return list.map((one) => [
    h("span", {}, date(one.began), " ", h("span.hint", {}, span(one.seconds))),
    one.facts ? [theirs(one.facts.engineer), " from ", theirs(one.facts.source)] : "Not known: its facts cannot be read",
    one.facts ? theirs(one.facts.grant) : "–",
    [state(one), one.recipient && h("p.hint", {}, "Encrypted"), one.end && h("p.hint", {}, theirs(one.end))],
    size(one.bytes),
    [!one.running && !one.recipient && h("a.button", { href: `#/recordings/${one.id}`, "aria-label": `Play the recording of ${date(one.began)}` }, "Play"), " ",
      h("a.button", { href: `/api/v1/recordings/${one.id}.tar`, download: `drawbridge-${one.id}.tar`, "aria-label": `Download the recording of ${date(one.began)}` }, "Download"),
      one.head && h("details", {}, h("summary", {}, "Hash"), h("code", {}, groups(one.head).map((group) => [group, " "])))],
  ]);
}

function how(device) {
  return section("How a recording is checked",
    h("p", {}, "Each is a chain of blocks that the appliance has signed. Whoever has the file can see with the program ", h("code", {}, "verify"), " that nothing in it was changed, left out or added, without the appliance and without a network:"),
    h("p", {}, h("code", {}, `verify --key ${device?.evidence_fingerprint || "FINGERPRINT"} FILE.tar`)),
    h("p.hint", {}, "Terminals are in the form ttyrec, which ttyplay and other players take."));
}

export function open(main, id) {
  if (id) return player(main, id);
  const place = h("div");
  const explained = h("div");
  const there = h("div");
  const encrypted = h("div");
  fill(main, heading("Recordings"), place, encrypted, explained, there);
  let timer = 0;
  let gone = false;
  let earlier = [];
  let known = "";

  function view(found) {
    const list = [...found.recordings, ...earlier];
    const last = list[list.length - 1];
    const more = found.recordings.length === 100 && h("button", { type: "button", "data-look": true, onclick: async () => {
      const next = await get(`/recordings?before=${last.id}`);
      earlier = [...earlier, ...next.recordings];
      known = "";
      fill(place, view(found));
    } }, "Show earlier ones");
    return [section("Room for recordings",
      h("p", {}, result(found.takes ? (found.trouble ? "warn" : "pass") : "fail", found.takes ? "Recording works" : "No session can be recorded"), ` ${found.kept} ${found.kept === 1 ? "recording takes" : "recordings take"} ${size(found.bytes)}; ${size(found.free_bytes)} are free.`),
      found.trouble && h("p.remedy", {}, theirs(found.trouble))),
    section("Recorded connections", list.length === 0 ? h("p", {}, "No engineer has been here yet.")
      : table("Recorded connections, the latest first", ["When", "Who", "Support session", "State", "Size", "File"], rows(list)), more)];
  }

  load(place, () => get("/recordings"), (found) => { known = JSON.stringify(found); return view(found); }, "its recordings");
  load(explained, () => get("/device"), how, "its keys");
  encryptForm(encrypted);
  const leaveServer = atServer(there);
  const again = async () => {
    try {
      const found = document.hidden ? null : await get("/recordings", true);
      if (found && !gone && JSON.stringify(found) !== known && !place.contains(document.activeElement)) {
        known = JSON.stringify(found);
        fill(place, view(found));
      }
    } catch { /* the banner says so */ }
    if (!gone) timer = setTimeout(again, EVERY);
  };
  timer = setTimeout(again, EVERY);
  return () => { gone = true; clearTimeout(timer); leaveServer(); };
}
