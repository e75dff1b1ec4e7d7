// One interface of the network settings as fields, and back.

import { field } from "./forms.js";
import { h } from "./dom.js";
import { lines, number } from "./format.js";

const ROLES = [["management", "Management: this console"], ["uplink", "Uplink: towards the support server"], ["array", "Array: towards the array’s nodes"], ["service", "Service: a technician’s computer"]];
const V4 = [["dhcp", "From a DHCP server"], ["static", "As set here"], ["link_local", "Link-local only"], ["off", "Off"]];
const V6 = [["auto", "As the routers say"], ["static", "As set here"], ["link_local", "Link-local only"], ["off", "Off"]];
const kindOf = (value, fallback) => (typeof value === "string" ? value : value ? Object.keys(value)[0] : fallback);
const route = ({ to, via, metric }) => `${to} via ${via}${metric === null || metric === undefined ? "" : ` metric ${metric}`}`;

/** "10.0.0.0/8 via 198.51.100.2 metric 5" -> a route; what is missing is left empty, and the appliance says so. */
function parseRoute(line) {
  const words = line.split(/\s+/);
  const after = (word) => { const at = words.indexOf(word); return at < 0 ? undefined : words[at + 1] ?? ""; };
  const metric = after("metric");
  return { to: words[0], via: after("via") ?? words[1] ?? "", ...(metric !== undefined && { metric: number(metric) }) };
}

/** `at`: its number. `ports`: the machine's, to choose from. */
export function interfaceForm(model, at, ports, removed) {
  const p = `interfaces[${at}]`;
  const place = kindOf(model.at, "port");
  const [bond, vlan] = [model.at?.bond || {}, model.at?.vlan || {}];
  const v4 = kindOf(model.ipv4, "dhcp");
  const v6 = kindOf(model.ipv6, "auto");
  const [static4, static6] = [model.ipv4?.static || {}, model.ipv6?.static || {}];
  const known = ports.map((port) => [port.pci ? (port.pci.startsWith("pci-") ? port.pci : `pci-${port.pci}`) : port.mac, `${port.name} (${port.mac})`]);
  const current = model.at?.port;
  const taken = ports.find((port) => current && (port.mac === current || known.some(([key]) => key === current)));
  if (current && !known.some(([key]) => key === current)) known.push([current, `${taken ? `${taken.name}, ` : ""}${current}`]);

  const name = field({ at: `${p}.name`, label: "Name", value: model.name, hint: "As it is called here: a short word, as management", dir: "ltr" });
  const enabled = field({ at: `${p}.enabled`, label: "In use", kind: "check", value: model.enabled !== false });
  const where = field({ at: `${p}.at`, label: "Where it is", kind: "select", options: [["port", "A port"], ["bond", "Several ports as one (bond)"], ["vlan", "A VLAN on another interface"]], value: place });
  const port = field({ at: `${p}.at.port`, label: "Port", kind: "select", options: known, value: current || known[0]?.[0] });
  const mode = field({ at: `${p}.at.bond.mode`, label: "How the ports share the work", kind: "select", options: [["active_backup", "One works, the others wait"], ["lacp", "All work (LACP): the switch must know"]], value: bond.mode || "active_backup" });
  const members = field({ at: `${p}.at.bond.members`, label: "Ports of the bond", kind: "area", rows: 2, value: (bond.members || []).join("\n"), hint: `PCI path or MAC address, one a line. This machine has ${ports.map((one, n) => known[n][0]).join(", ") || "none"}.`, dir: "ltr" });
  const on = field({ at: `${p}.at.vlan.on`, label: "On interface", value: vlan.on, hint: "Its name, as above.", dir: "ltr" });
  const id = field({ at: `${p}.at.vlan.id`, label: "VLAN number", kind: "number", value: vlan.id ?? "", hint: "1 to 4094" });
  const roles = ROLES.map(([key, label]) => [key, field({ at: `${p}.roles.${key}`, label, kind: "check", value: (model.roles || []).includes(key) })]);
  const four = field({ at: `${p}.ipv4`, label: "IPv4 address", kind: "select", options: V4, value: v4 });
  const fallback = field({ at: `${p}.ipv4.dhcp.link_local_fallback`, label: "Take a link-local address while no server answers", kind: "check", value: model.ipv4?.dhcp?.link_local_fallback !== false });
  const address4 = field({ at: `${p}.ipv4.static.address`, label: "IPv4 address and network", value: static4.address, hint: "192.0.2.7/24", dir: "ltr" });
  const router4 = field({ at: `${p}.ipv4.static.router`, label: "IPv4 router", value: static4.router, hint: "Empty: none.", dir: "ltr" });
  const six = field({ at: `${p}.ipv6`, label: "IPv6 address", kind: "select", options: V6, value: v6 });
  const privacy = field({ at: `${p}.ipv6.auto.privacy`, label: "Change the address from time to time (privacy)", kind: "check", value: model.ipv6?.auto?.privacy });
  const address6 = field({ at: `${p}.ipv6.static.addresses`, label: "IPv6 addresses and networks", kind: "area", rows: 2, value: (static6.addresses || []).join("\n"), hint: "One a line: 2001:db8::7/64", dir: "ltr" });
  const router6 = field({ at: `${p}.ipv6.static.router`, label: "IPv6 router", value: static6.router, hint: "Empty: none.", dir: "ltr" });
  const mtu = field({ at: `${p}.mtu`, label: "Largest packet (MTU)", kind: "number", value: model.mtu ?? "", hint: "576 to 9216 bytes. Empty: as the network says." });
  const dns = field({ at: `${p}.dns`, label: "Name servers", kind: "area", rows: 2, value: (model.dns || []).join("\n"), hint: "Addresses, one a line. They are asked before learned ones.", dir: "ltr" });
  const routes = field({ at: `${p}.routes`, label: "Routes", kind: "area", rows: 2, value: (model.routes || []).map(route).join("\n"), hint: "One a line: 10.0.0.0/8 via 198.51.100.2 metric 100", dir: "ltr" });
  const title = h("summary");
  const see = () => {
    title.textContent = `${name.input.value || "New interface"}${enabled.input.checked ? "" : " (not in use)"}`;
    const is = (box, key) => box.input.value === key;
    port.hidden = !is(where, "port");
    mode.hidden = members.hidden = !is(where, "bond");
    on.hidden = id.hidden = !is(where, "vlan");
    fallback.hidden = !is(four, "dhcp");
    address4.hidden = router4.hidden = !is(four, "static");
    privacy.hidden = !is(six, "auto");
    address6.hidden = router6.hidden = !is(six, "static");
  };
  const element = h("details.interface", { "data-at": p, open: !model.name }, title,
    h("div.pair", {}, name, enabled), h("fieldset", {}, h("legend", {}, "Place"), where, port, mode, members, on, id),
    h("fieldset", { "data-at": `${p}.roles` }, h("legend", {}, "What it is for"), roles.map(([, box]) => box), h("p.wrong", { hidden: true })),
    h("fieldset", {}, h("legend", {}, "Addresses"), four, fallback, address4, router4, six, privacy, address6, router6),
    h("fieldset", {}, h("legend", {}, "More"), mtu, dns, routes), h("p.wrong", { hidden: true }),
    h("div.buttons", {}, h("button", { type: "button", onclick: removed }, "Remove this interface")));
  element.addEventListener("input", see);
  element.addEventListener("change", see);
  see();

  const text = (box) => box.input.value.trim();
  const or = (box) => text(box) || null;
  return {
    element, name,
    read() {
      const places = { port: { port: text(port) }, bond: { bond: { mode: text(mode), members: lines(members.input.value) } }, vlan: { vlan: { on: text(on), id: number(id.input.value) } } };
      const fours = { dhcp: { dhcp: { link_local_fallback: fallback.input.checked } }, static: { static: { address: text(address4), router: or(router4) } } };
      const sixes = { auto: { auto: { privacy: privacy.input.checked } }, static: { static: { addresses: lines(address6.input.value), router: or(router6) } } };
      return {
        name: text(name), at: places[text(where)], roles: roles.filter(([, box]) => box.input.checked).map(([key]) => key),
        ipv4: fours[text(four)] || text(four), ipv6: sixes[text(six)] || text(six), mtu: text(mtu) ? number(mtu.input.value) : null,
        dns: lines(dns.input.value), routes: lines(routes.input.value).map(parseRoute), enabled: enabled.input.checked,
      };
    },
  };
}
