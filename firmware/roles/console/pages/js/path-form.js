// The part of the connection form that says how the support server is reached: proxy, hops, trust, interface.

import { field } from "./forms.js";
import { h, theirs } from "./dom.js";
import { lines } from "./format.js";
import { certificates, orNull, roots, trustForm } from "./trust-form.js";

const PROXIES = [["", "No proxy"], ["http", "HTTP (CONNECT)"], ["https", "HTTPS (CONNECT over TLS)"], ["socks5", "SOCKS 5"], ["socks4a", "SOCKS 4a"], ["socks4", "SOCKS 4"]];

/** Fields for a PATH; `boxes` in three groups, and `read()` for what they hold. */
export function pathForm(model, profile = {}) {
  const path = { hops: [], proxy: null, ...model };
  const proxy = path.proxy || {};
  const proxyTrust = { built_in: true, uploaded: [], certificate_pin: null, key_pin: null, ...proxy.verification };
  const p = "path.";

  const server = field({ at: `${p}server`, label: "Address of the support server (RSS)", value: path.server, required: true, autocomplete: "url", hint: "Name or IP address, with a port when it is not 443: rss.example.com, 192.0.2.10:8443, [2001:db8::10]:443" });
  const others = (profile.hosts?.on_instruction || []).map((one) => h("button", { type: "button", onclick: () => {
    server.input.value = one;
    server.input.dispatchEvent(new Event("input", { bubbles: true }));
  } }, `Use ${one}`));
  const instructed = others.length > 0 && h("div", {}, h("p.hint", {}, "Only when ", theirs(profile.names.support), " says so:"), h("div.buttons", {}, others));
  const words = profile.texts?.connection && h("p", {}, theirs(profile.texts.connection));
  const protocol = field({ at: `${p}proxy.protocol`, label: "Proxy", kind: "select", options: PROXIES, value: proxy.protocol || "", hint: "What stands between this appliance and the internet, if anything does." });
  const address = field({ at: `${p}proxy.address`, label: "Address of the proxy", value: proxy.address, hint: "With its port: proxy.example.com:3128" });
  const user = field({ at: `${p}proxy.user`, label: "User at the proxy", value: proxy.user, hint: "Leave empty when it asks for none." });
  const password = field({ at: `${p}proxy.password`, label: "Password at the proxy", kind: "password", value: proxy.password, autocomplete: "new-password" });
  const proxyHops = field({ at: `${p}proxy.hops`, label: "Relays on the way to the proxy (hops), the nearest first", kind: "area", rows: 2, value: (proxy.hops || []).join("\n"), hint: "One address with port a line." });
  const proxyPin = field({ at: `${p}proxy.verification.certificate_pin`, label: "Pinned certificate of the proxy", value: proxyTrust.certificate_pin, hint: "Its SHA-256 fingerprint, with or without colons. Then no authority is asked.", dir: "ltr" });
  const proxyRoots = roots(`${p}proxy.verification.uploaded`, "Authorities for the proxy (PEM)", "One or more certificates.", proxyTrust.uploaded);
  const tls = h("fieldset", {}, h("legend", {}, "Trust in the HTTPS proxy"), proxyPin, proxyRoots);
  const inner = h("div.proxy", {}, address, user, password, proxyHops, tls);
  const see = () => {
    inner.hidden = !protocol.input.value;
    tls.hidden = protocol.input.value !== "https";
    password.hidden = protocol.input.value.startsWith("socks4");
  };
  protocol.input.addEventListener("change", see);
  see();

  const name = field({ at: `${p}tls_name`, label: "TLS name of the server", value: path.tls_name, hint: "Only when its certificate has another name than its address.", dir: "ltr" });
  const trust = trustForm(`${p}verification`, path.verification, "For a server, or a firewall that inspects TLS, whose certificate your own authority has signed.");
  const hops = field({ at: `${p}hops`, label: "Relays on the way to the server (hops), the nearest first", kind: "area", rows: 2, value: path.hops.join("\n"), hint: "One address with port a line." });
  const leaves = field({ at: `${p}interface`, label: "Leave by this interface only", value: path.interface, hint: "Its name on the page Network; empty: as the routes say.", dir: "ltr" });
  const enrolment = field({ at: `${p}enrolment`, label: "Enrolment token", kind: "password", value: path.enrolment, hint: "Only for the first connection to a server that does not know this appliance yet.", autocomplete: "new-password" });

  const text = (box) => orNull(box.input.value);
  return {
    first: [words, server, instructed], proxy: [protocol, inner],
    advanced: [h("fieldset", { "data-at": "path.verification" }, h("legend", {}, "Trust in the server"), name, trust.boxes, h("p.wrong", { hidden: true })),
      h("fieldset", {}, h("legend", {}, "The way"), hops, leaves, enrolment)],
    /** A token that has been used. */
    forget() { enrolment.input.value = ""; },
    read() {
      const kind = protocol.input.value;
      return {
        server: server.input.value.trim(), tls_name: text(name),
        verification: trust.read(),
        hops: lines(hops.input.value),
        proxy: kind ? {
          protocol: kind, address: address.input.value.trim(), user: text(user), password: password.hidden ? null : password.input.value || null, hops: lines(proxyHops.input.value),
          ...(kind === "https" && { verification: { built_in: true, uploaded: certificates(proxyRoots[0].input.value), certificate_pin: text(proxyPin), key_pin: proxyTrust.key_pin } }),
        } : null,
        interface: text(leaves), enrolment: text(enrolment),
      };
    },
  };
}
