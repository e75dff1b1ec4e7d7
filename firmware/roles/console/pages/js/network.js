// The page Network: the ports as they are, the settings, and a change that takes itself back unless it is kept.

import { get, onChange, post, put, remove } from "./api.js";
import { action, field, form, submit, problemPlace } from "./forms.js";
import { facts, fill, h, heading, result, say, section, theirs } from "./dom.js";
import { drop, follow, kept } from "./drafts.js";
import { lines, number, span } from "./format.js";
import { interfaceForm } from "./interface-form.js";
import { load } from "./load.js";
import { guard, toast } from "./widgets.js";
import * as live from "./live.js";

function portCard(port) {
  const speed = port.megabits ? (port.megabits >= 1000 ? `${port.megabits / 1000} Gbit/s` : `${port.megabits} Mbit/s`) : null;
  return h("article.card", {}, h("h3", {}, theirs(port.name)), result(port.carrier ? "pass" : "warn", port.carrier ? `Link is up${speed ? `, ${speed}` : ""}` : "No link: is the cable in?"),
    facts(["For", (port.roles || []).join(", ")], ["Addresses", port.addresses?.length > 0 ? port.addresses.map((one) => h("div", {}, one)) : "none"],
      ["MAC address", port.mac], ["Place", port.pci && [port.pci, port.driver && ` (${port.driver})`]], ["Largest packet", port.mtu && `${port.mtu} bytes`]),
    port.remarks?.length > 0 && h("ul.remarks", {}, port.remarks.map((one) => h("li", {}, theirs(one)))));
}

/** Ports, name servers, time servers: drawn anew only when they are others than before. */
function stateView() {
  const element = h("div");
  let text = "";
  return { element, draw(network) {
    const next = JSON.stringify([network.ports, network.name_servers, network.time_servers, network.remarks, network.host_name]);
    if (next === text) return;
    text = next;
    fill(element, section("Ports", h("div.grid", {}, network.ports.map(portCard)),
      network.remarks?.length > 0 && h("ul.remarks", {}, network.remarks.map((one) => h("li", {}, theirs(one)))),
      facts(["Host name", theirs(network.host_name)],
        ["Name servers", network.name_servers?.length > 0 ? network.name_servers.map((one) => h("div", {}, `${one.address}${one.interface ? ` (${one.interface})` : ""}`)) : "none"],
        ["Time servers", network.time_servers?.length > 0 ? network.time_servers.map((one) => h("div", {}, theirs(typeof one === "string" ? one : one.address || JSON.stringify(one)))) : "none"])));
  } };
}

/** Where the console may be found once this is in force: the static addresses of its management interfaces. */
function newAddresses(settings) {
  return (settings.interfaces || []).filter((one) => one.enabled && one.roles.includes("management")).flatMap((one) => [
    one.ipv4?.static?.address, ...(one.ipv6?.static?.addresses || [])]).filter(Boolean).map((one) => one.split("/")[0])
    .map((one) => `https://${one.includes(":") ? `[${one}]` : one}:${location.port || 443}/#/network`)
    .filter((one) => URL.canParse(one));
}

/** The countdown of a change that waits to be kept. */
function pendingView() {
  const title = h("h2", { id: "pending", tabindex: "-1" }, "Do you want to keep this change?");
  const text = h("p");
  const meter = h("progress", { max: 1, "aria-label": "Time until the change takes itself back" });
  const where = h("div");
  const places = h("div", {}, problemPlace());
  let change = null;
  let whole = 1;
  let addresses = [];
  let ours = false;
  const keep = action("Keep", "Keeping …", async () => {
    await post(`/network/changes/${encodeURIComponent(change.id)}/confirm`);
    drop("network");
    ours = true;
    toast("The change is kept.");
    await live.ask("network");
  }, places, { class: "main" });
  const back = action("Take back now", "Taking back …", async () => {
    await remove(`/network/changes/${encodeURIComponent(change.id)}`);
    ours = true;
    toast("The change is taken back: everything is as it was before. What you typed is still in the form.");
    await live.ask("network");
  }, places);
  const element = h("section.sheet.pending", { hidden: true, "aria-labelledby": "pending" }, title, text, meter, where, places, h("div.buttons", {}, keep, back));
  const tick = () => {
    if (!change) return;
    const left = Math.max(0, change.ends - Date.now()) / 1000;
    meter.value = left / whole;
    say(text, left > 0 ? `It is in force now, and takes itself back in ${span(left)} unless you press Keep. That this page still answers shows that the console can be reached.`
      : "The time is over: the change takes itself back now.");
  };
  return {
    element, tick, pending: () => change,
    links(settings) { addresses = newAddresses(settings); },
    lost(is) {
      if (!is || !change) { fill(where); return; }
      fill(where, h("div.problem", {}, h("p", {}, h("strong", {}, "The appliance does not answer at this address any more."), " That may be what the change does. If it has a new address, open it there, log in, and press Keep in time; do nothing, and the change takes itself back and this page goes on."),
        addresses.length > 0 && h("ul", {}, addresses.map((one) => h("li", {}, h("a", { href: one, rel: "noreferrer" }, one))))));
    },
    set(next) {
      const had = change;
      change = next && { id: next.id, ends: Date.now() + next.seconds * 1000 };
      element.hidden = !change;
      if (change && change.id !== had?.id) { whole = Math.max(1, next.seconds); title.focus(); element.scrollIntoView({ block: "nearest" }); }
      if (!change && had) {
        fill(where);
        if (!ours) toast("The change is no longer waiting: nobody pressed Keep here, so it took itself back, or somebody else has decided. What is in force stands under Ports.", "bad");
        ours = false;
      }
      tick();
    },
  };
}

function settingsForm(model, ports, applied) {
  const hostName = field({ at: "host_name", label: "Host name", value: model.host_name, hint: "Empty: made from the serial number.", dir: "ltr" });
  const search = field({ at: "search", label: "Search domains", kind: "area", rows: 2, value: (model.search || []).join("\n"), hint: "One a line, at most 6.", dir: "ltr" });
  const times = field({ at: "time_servers", label: "Time servers", kind: "area", rows: 2, value: (model.time_servers || []).join("\n"), hint: "Names or addresses, one a line. Empty: those that the network offers.", dir: "ltr" });
  const confirm = field({ at: "confirm_seconds", label: "Take a change back after (seconds)", kind: "number", value: model.confirm_seconds ?? 60, hint: "10 to 3600. So long you have to press Keep." });
  const place = h("div.rows");
  let rows = [];
  let note = () => {};
  const read = () => ({
    host_name: hostName.input.value.trim() || null, search: lines(search.input.value), time_servers: lines(times.input.value),
    confirm_seconds: number(confirm.input.value), interfaces: rows.map((row) => row.read()),
  });
  /** Rows are numbered, and their fields carry the number: they are made anew when one comes or goes. */
  const draw = (models, opened) => {
    rows = models.map((one, at) => interfaceForm(one, at, ports, () => { draw(rows.map((row) => row.read()).filter((_, n) => n !== at)); note(); add.focus(); }));
    fill(place, rows.length === 0 && h("p", {}, "No interface is set: every port follows the defaults (DHCP, and the roles of this model)."), rows.map((row) => row.element));
    if (opened !== undefined) { rows[opened].element.open = true; rows[opened].name.input.focus(); }
  };
  const add = h("button", { type: "button", onclick: () => { draw([...rows.map((row) => row.read()), { name: "", at: { port: undefined }, roles: ["management"] }], rows.length); note(); } }, "Add an interface");
  draw(model.interfaces || []);
  const element = form("Network settings", [h("fieldset", { "data-at": "interfaces" }, h("legend", {}, "Interfaces"), place, h("p.wrong", { hidden: true }), h("div.buttons", {}, add)),
    h("fieldset", {}, h("legend", {}, "Names and time"), hostName, search, times, confirm),
    h("div.buttons.last", {}, submit("Apply", "Applying …"), h("button.plain", { type: "button", onclick: () => { drop("network"); applied(null); } }, "Discard what I typed"))], async () => {
    const settings = read();
    const pending = await put("/network/settings", settings);
    applied(settings, pending);
  });
  note = follow(element, "network", read);
  return element;
}

export function open(main) {
  const state = stateView();
  const pending = pendingView();
  const place = h("div");
  const typed = h("p.hint", { hidden: true }, "The form holds what you typed. It is not in force.");
  const hint = () => { typed.hidden = Boolean(live.now("network")?.pending) || !kept("network"); return typed; };
  const page = h("div", {}, heading("Network"), pending.element, state.element, place);
  fill(main, page);
  if (!live.now("network")) fill(state.element, h("p.loading", {}, "Asking the appliance for its ports …"));
  guard(pending.element);
  const again = load(place, async () => [await get("/network/settings"), await live.ask("network")], ([settings, network]) =>
    guard(section("Settings", hint(), settingsForm(kept("network") || settings, network.ports, (sent, change) => {
      if (!sent) { again(); return; }
      pending.links(sent);
      pending.set(change);
      live.ask("network").catch(() => {});
    }))), "the settings");
  let had = false;
  const off = live.watch("network", (network) => {
    state.draw(network);
    pending.set(network.pending);
    // A change that was kept or taken back: what is set is another now.
    if (had && !network.pending && !kept("network")) again();
    had = Boolean(network.pending);
    typed.hidden = had || !kept("network");
  });
  const offLost = onChange((what) => {
    if (what === "lost") pending.lost(true);
    if (what === "back") { pending.lost(false); live.ask("network").catch(() => {}); }
  });
  const timer = setInterval(pending.tick, 500);
  return () => { off(); clearInterval(timer); offLost(); };
}
