// The part of the page Recordings that shows what the support server keeps: asked for through the bridge, while it is lowered.

import { get } from "./api.js";
import { fill, h, result, section, table, theirs } from "./dom.js";
import { date, kib, span } from "./format.js";
import { watch } from "./live.js";
import { load } from "./load.js";

const state = (one) => (one.verified ? result(one.whole ? "pass" : "skip", one.whole ? "Whole" : "Not all of it yet")
  : result("warn", "Signed by a key that the server does not accept"));

const rows = (list) => list.map((one) => [
  h("span", {}, date(one.began), " ", h("span.hint", {}, span(one.seconds))),
  one.engineer ? theirs(one.engineer) : "Not known yet",
  one.grant ? theirs(one.grant) : "–",
  [state(one), one.end && h("p.hint", {}, theirs(one.end))],
  kib(Math.ceil(one.bytes / 1024)),
  h("a.button", { href: `/api/v1/recordings/server/${one.id}.tar`, download: `drawbridge-${one.id}.tar`, "aria-label": `Download the recording of ${date(one.began)} from the support server` }, "Download"),
]);

/** Why the server cannot be asked; null when it can. */
function obstacle({ state: bridge, link }) {
  if (bridge === "open" && link.state === "connected") return null;
  if (bridge !== "open" && bridge !== "opening") return [h("p", {}, "The support server is asked through the bridge only, and the bridge is raised."), h("p.remedy", {}, "Lower it on the page ", h("a", { href: "#/connection" }, "Connection"), ".")];
  if (link.state !== "waiting") return h("p", {}, "The connection to the support server is being made …");
  return [h("p", {}, "There is no connection to the support server: ", theirs(link.why)), link.remedy && h("p.remedy", {}, theirs(link.remedy))];
}

/** Draws it into `place`. Returns how to end it. */
export function atServer(place) {
  const body = h("div", {}, h("p.loading", {}, "Asking the appliance where the bridge stands …"));
  fill(place, section("At the support server",
    h("p", {}, "Recordings go up while they are made. When there is no room for them here, the oldest that the server has are removed here, and stay there."), body));
  let known = null;

  function ask() {
    // One of its own for each time: what comes late lands where nobody looks.
    const found = h("div");
    let list = [];
    fill(body, found);
    const view = (page) => {
      list = [...list, ...page.recordings];
      return [list.length === 0 ? h("p", {}, "It has no recording of this appliance.")
        : table("Recordings at the support server, the latest first", ["When", "Who", "Support session", "State", "Size", "File"], rows(list)),
      h("div.buttons", {}, page.more && button("Show earlier ones", more), button("Ask again", () => { list = []; again(); }))];
    };
    const button = (text, onclick) => h("button", { type: "button", "data-look": true, "data-key": text, onclick }, text);
    const more = () => load(found, () => get(`/recordings/server?before=${list[list.length - 1].id}`), view, "earlier ones");
    const again = load(found, () => get("/recordings/server"), view, "what the server keeps");
  }

  return watch("bridge", (bridge) => {
    const why = obstacle(bridge);
    const now = why ? JSON.stringify([bridge.state, bridge.link]) : "";
    if (now === known) return;
    known = now;
    if (why) fill(body, why);
    else ask();
  });
}
