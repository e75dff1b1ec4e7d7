// What a fake appliance answers: one body for each route of the console's API, with long names and text in Arabic.

export const LONG = "storage-array-with-an-unbroken-name-that-is-sixty-characters";
export const ARABIC = "مهندس الدعم";
const DAY = 86_400;
const now = () => Math.floor(Date.now() / 1000);

export const certificate = () => ({
  subject: "CN=support-1.example.com", common_name: "support-1.example.com", names: ["support-1.example.com", `${LONG}.example.com`], addresses: ["192.0.2.7", "2001:db8::7"],
  issuer: "CN=support-1.example.com", self_signed: true, not_before: now() - 30 * DAY, not_after: now() + 700 * DAY,
  fingerprint: Array.from({ length: 32 }, (_, at) => ((at * 37 + 11) % 256).toString(16).padStart(2, "0")).join(":").toUpperCase(), key: "EC P-256",
});

export const system = { name: "support-1", product: "Drawbridge", serial: "DB-0001-4711" };

export const profile = () => ({
  name: "acme", names: { appliance: "Acme Support Appliance", array: "the Acme box", support: "Acme’s support" },
  hosts: { server: "rss.acme.example:443", on_instruction: ["rss-2.acme.example:443", `${LONG}.example.com:443`], call_home: "home.acme.example", drop: null, mail: "home@acme.example" },
  files: { key: "acme.key", request: "acme.csr.pem" }, texts: { connection: `Take the first one unless ${LONG} says otherwise.`, certificate: "The common name is the name of the Acme box." },
});
export const outside = () => ({ ...profile().names, login: "Your user of the Acme box, with its role Admin.", challenge: "Acme’s support calls you back before it answers." });

export const qr = () => Array.from({ length: 33 }, (_, y) => Array.from({ length: 33 }, (_, x) => ((x * 7 + y * 13 + x * y) % 3 === 0 ? "1" : "0")).join(""));

export const last = {
  name: "", reason: "", level: "direct", scope: { targets: [], shell: true, files: false, forwards: false }, minutes: 240, keys: [], sources: [],
  path: { server: "", tls_name: null, verification: { built_in: true, uploaded: [], certificate_pin: null, key_pin: null }, hops: [], proxy: null, interface: null },
};

export const terms = () => ({
  case: "4711", signer: ARABIC, engineer: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
  scope: { targets: [`${LONG}.example.com:22`, "node-2:443"], shell: true, files: false, forwards: true }, minutes: 90, not_after: now() + DAY, is_open: false,
});

export const closed = () => ({
  state: "closed", leftovers: null, grant: null, approved_by: null, seconds_left: null, ends_at: null, burned: false,
  link: { state: "down", system: null, takes_recordings: null, why: "", remedy: "" }, visitors: [], last_end: "The last session, case 4710, was stopped by anna.",
});

export const open = (asked, person) => ({
  state: "open", leftovers: null,
  grant: { id: 7, name: asked.name, opener: person, reason: asked.reason, level: asked.level, scope: asked.scope, minutes: asked.minutes, proof: asked.secret ? (asked.keys ? "key_and_secret" : "secret") : "key", keys: (asked.keys || []).length, sources: asked.sources },
  approved_by: null, seconds_left: asked.minutes * 60, ends_at: now() + asked.minutes * 60, burned: false,
  link: { state: "connected", system: "rss-1", takes_recordings: true, why: "", remedy: "" }, visitors: [], last_end: "",
});

export const steps = [
  { number: 1, title: "Look the name up", result: "pass", detail: "rss.example.com is 198.51.100.10.", remedy: "", milliseconds: 12 },
  { number: 2, title: "Connect to the proxy", result: "skip", detail: "No proxy is set.", remedy: "", milliseconds: 0 },
  { number: 3, title: "Connect to the server", result: "pass", detail: "198.51.100.10 answers on port 443.", remedy: "", milliseconds: 48 },
  { number: 4, title: "Check the server’s certificate", result: "fail", detail: `The certificate is for ${LONG}.example.com.`, remedy: "Set the TLS name under Advanced, or use the name that the certificate has.", milliseconds: 103 },
  { number: 5, title: "Log in at the server", result: "skip", detail: "Not tried: an earlier step has failed.", remedy: "", milliseconds: 0 },
];

export const network = () => ({
  host_name: "support-1",
  ports: [
    { name: "management", kernel_name: "eth0", roles: ["management", "array"], mac: "52:54:00:12:34:56", pci: "0000:00:03.0", driver: "virtio_net", carrier: true, megabits: 10000, mtu: 1500, addresses: ["192.0.2.7/24", "2001:db8::7/64"], remarks: [] },
    { name: "outside", kernel_name: "eth1", roles: ["uplink"], mac: "52:54:00:12:34:57", pci: "0000:00:04.0", driver: "virtio_net", carrier: false, megabits: null, mtu: 1500, addresses: [], remarks: ["No DHCP server has answered for 40 s."] },
  ],
  pending: null, name_servers: [{ address: "192.0.2.53", interface: "management" }], time_servers: ["192.0.2.123"], remarks: [],
});

export const networkSettings = () => ({
  host_name: "support-1", search: ["example.com"], time_servers: ["192.0.2.123", "ntp.example.com"], confirm_seconds: 60,
  interfaces: [
    { name: "management", at: { port: "pci-0000:00:03.0" }, roles: ["management", "array"], ipv4: { static: { address: "192.0.2.7/24", router: "192.0.2.1" } }, ipv6: "off", mtu: null, dns: ["192.0.2.53"], routes: [{ to: "10.0.0.0/8", via: "192.0.2.2" }], enabled: true },
    { name: "outside", at: { vlan: { on: "management", id: 42 } }, roles: ["uplink"], ipv4: { dhcp: { link_local_fallback: true } }, ipv6: { auto: { privacy: true } }, mtu: 1400, dns: [], routes: [], enabled: true },
  ],
});

export const array = () => ({ host: `${LONG}.example.com`, certificate: certificate(), trust: "pinned", state: "ok", detail: "It answered 4 seconds ago.", remedy: "" });

export const supportKeys = () => ({ keys: [{ name: "Vendor support 2026", key: "drawbridge-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3xVwq6qkJ1yFrmhW7dGJm", built_in: true, on: true }, { name: ARABIC, key: "drawbridge-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk2m0wqvQ", built_in: false, on: true }] });

export const health = () => ({
  version: "0.5.0", serial: system.serial, host_name: "support-1", uptime_seconds: 273_845, data: { state: "disk", device: "/dev/vda3", fault: null },
  clock: { state: "synchronised", detail: "by 192.0.2.123, 3 ms off", now: now() }, memory: { total_kib: 498_000, available_kib: 391_000 }, watchdogs: ["i6300esb"], last_failure: null,
  roles: ["init", "network", "console", "session"].map((role, at) => ({ role, state: "running", pid: at + 1, starts: 1, memory_kib: 5200 + at * 900, last_end: "" })),
  checks: [
    { title: "Clock", result: "pass", detail: "Set by a time server.", remedy: "" },
    { title: `Array ${LONG}`, result: "fail", detail: "No answer within 5 s.", remedy: "Look whether the port with the role array has a link, on the page Network." },
    { title: "Certificate of the console", result: "warn", detail: "Self-signed.", remedy: "Upload one of your own authority, on the page Certificates." },
  ],
});

export const RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

const recording = (at, more = {}) => ({
  id: `20261127T0${at}4500Z-3fa9c01d`, began: now() - 3600 * at, seconds: 754, running: false, end: "The owner has ended the session.", bytes: 2_481_152, confirmed: at % 2 === 0, recipient: null,
  head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  facts: { grant: "Case 4711", level: "direct", engineer: "dana", login: "dana", source: "203.0.113.9", system: "support-1", serial: system.serial }, ...more,
});

export const recordings = () => ({
  recordings: [
    recording(1, { running: true, end: "", head: null }),
    recording(2, { facts: { ...recording(2).facts, engineer: ARABIC, grant: `${LONG} <b>that is not markup</b>` } }),
    recording(4, { recipient: RECIPIENT }),
    recording(3, { facts: null, end: "It was cut: the appliance lost its power, or the recorder was ended." }),
  ],
  kept: 4, bytes: 9_924_608, free_bytes: 52_428_800, takes: true, trouble: "There is room for few more recordings: download what is to be kept.",
});

const kept = (at, more = {}) => ({
  id: `20261126T0${at}4500Z-3fa9c01d`, began: now() - 86_400 - 3600 * at, seconds: 754, bytes: 2_481_152, engineer: "dana", grant: "Case 4709",
  end: "The owner has ended the session.", whole: true, verified: true, ...more,
});

/** What the support server keeps; earlier ones behind the last of them. */
export const atServer = (before) => (before === kept(3).id ? { recordings: [kept(4, { engineer: "", grant: "" })], more: false } : {
  recordings: [kept(1, { whole: false, end: "" }), kept(2, { engineer: ARABIC, grant: `${LONG} <b>that is not markup</b>` }), kept(3, { verified: false })], more: true,
});

export const live = () => ({ live: [
  { id: "20261127T014500Z-3fa9c01d", connection: "1", facts: { ...recording(1).facts, engineer: ARABIC }, seconds: 61, failed: "", channels: [{ channel: 1, command: null, columns: 80, rows: 24 }, { channel: 2, command: `top ${LONG}`, columns: 100, rows: 30 }] },
  { id: "20261127T014600Z-3fa9c01e", connection: "2", facts: { ...recording(2).facts, level: "guided" }, seconds: 5, failed: "The disk is full.", channels: [] },
] });

const hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const event = (sequence, severity, code, summary, more = {}) => ({
  sequence, ms: Date.now() - (200 - sequence) * 60_000, severity, code, summary, sha256: hash,
  event: { sequence, time: "2026-11-27T01:45:00.000Z", clock: "ntp", boot: "00c0ffee00004000800000000000abcd", monotonic_ms: 5, severity, what: { code, ...more }, who: { kind: "owner", name: "anna" }, from: "192.0.2.44" },
});

/** The audit, the newest first: 120 events, with what would be markup elsewhere, and long words. */
export const audit = () => Array.from({ length: 120 }, (_, at) => {
  const sequence = 120 - at;
  if (at === 0) return event(sequence, "critical", "FAILED_TO_CLOSE", `Support session '${LONG}' has FAILED TO CLOSE, and this is left: <b>that is not markup</b>.`, { session: LONG, left: "<b>that is not markup</b>" });
  if (at === 1) return event(sequence, "notice", "SETTING_CHANGED", `The setting network was changed by owner ${ARABIC} from 'mtu=1500' to 'mtu=9000'.`, { setting: "network", change: { kind: "plain", old: "mtu=1500", new: "mtu=9000" } });
  return at % 3 ? event(sequence, "info", "LOGIN", `owner anna has logged in by the array's password, from 192.0.2.44.`, { proof: "password" }) : event(sequence, "warning", "LOGIN_REFUSED", "owner eve could not log in, because the secret is wrong.", { reason: "wrong_secret" });
});
export const auditState = () => ({ first: 1, last: 120, bytes: 81_920, segment: 2, head: hash, key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk", key_fingerprint: "SHA256:w2n5P1yB8mC3dQ4eR5tT6uY7iO8pA9sD0fG1hJ2kL3z", trouble: "" });
export const auditChecked = () => ({ segments: 2, proved: 118, faults: [`segment 2: line 7 was changed <b>${LONG}</b>`] });

const trust = { built_in: true, uploaded: [], certificate_pin: null, key_pin: null };
export const notifications = () => ({
  settings: {
    array: { user: "events", style: "custom", vendor_only: false, least: "notice", has_password: true }, syslog: null,
    mail: { server: `${LONG}.example.com:587`, security: "starttls", verification: trust, user: "sa", from: "sa@example.com", to: ["anna@example.com", `${LONG}@example.com`], least: "warning", has_password: true },
  },
  array_known: { host: array().host, fingerprint: hash }, array_unknown: "",
  states: [
    { receiver: "array", is_up: true, since_ms: Date.now() - 3_600_000, settled: 120, backlog: 0, oldest_ms: null, error: null, next_try_ms: null },
    { receiver: "mail", is_up: false, since_ms: Date.now() - 60_000, settled: 97, backlog: 23, oldest_ms: Date.now() - 120_000, error: { why: `The server ${LONG}.example.com refuses the password.`, remedy: "Type it again, and save." }, next_try_ms: Date.now() + 60_000 },
  ],
  runs: true,
});
export const notificationSteps = [
  { title: "Look the name up", result: "pass", detail: "mail.example.com is 192.0.2.25.", remedy: "" },
  { title: "Log in", result: "fail", detail: `The server says: 535 <b>no</b> ${LONG}.`, remedy: "Type user and password again." },
];

export const story = () => ({
  id: "20261127T024500Z-3fa9c01d", facts: { ...recording(2).facts, engineer: ARABIC }, began: now() - 7200, milliseconds: 90_000, end: "The owner has ended the session.", recipient: null,
  terminals: [{ channel: 1, at: 100, columns: 80, rows: 24, command: null }, { channel: 2, at: 5000, columns: 80, rows: 24, command: `top ${LONG}` }],
  events: [{ at: 100, kind: "terminal", text: "Terminal 1 is opened" }, { at: 30_000, kind: "file", text: `File taken: /${LONG}/<b>x</b>, 12 bytes` }, { at: 89_000, kind: "ended", text: "The end: The owner has ended it" }], cut: false,
});

export const sealedStory = () => ({
  ...story(), id: "20261127T044500Z-3fa9c01d", recipient: RECIPIENT, terminals: [],
  events: [{ at: 0, kind: "note", text: "All else that happened is encrypted to a key of the customer's" }, { at: 89_000, kind: "ended", text: "The end: The owner has ended it" }],
});

const picture = (at, changed) => ({ at, columns: 80, rows: 24, cursor: { column: 4, row: 1 }, changed });
const typed = [[100, 0, [["sa> ", 4, { bold: true, foreground: 2 }]]], [1000, 0, [["sa> ", 4, { bold: true, foreground: 2 }], ["status", 6]]], [2000, 1, [["<b>not markup</b> & ", 20], ["終わり", 6, { inverse: true }]]], [60_000, 2, [["after a long while", 18]]]];

/** What terminal 1 showed, from a time on: what has been shown before is in the first picture. */
export const played = (at) => ({
  next: null, seeking: false, reached: 90_000, fault: "",
  frames: [picture(at, typed.filter(([when]) => when <= at).map(([, row, runs]) => ({ row, runs }))), ...typed.filter(([when]) => when > at).map(([when, row, runs]) => picture(when, [{ row, runs }]))],
});

/** A terminal of 80 columns: colours, wide characters, and what would be markup elsewhere. */
export const screen = (after) => ({
  revision: 7, more: false, behind: 0, columns: 80, rows: 24, cursor: { column: 9, row: 3 }, over: false,
  changed: after >= 7 ? [] : [
    { row: 0, runs: [["sa> ", 4, { bold: true, foreground: 2 }], ["status", 6]] },
    { row: 1, runs: [["<b>not markup</b> & ", 20], ["終わり", 6, { inverse: true }], [" done", 5, { foreground: [120, 200, 255], underline: true }]] },
    { row: 2, runs: [["x".repeat(80), 80]] },
    { row: 3, runs: [["sa> ", 4, { bold: true, foreground: 2 }]] },
  ],
});

export const logLines = () => Array.from({ length: 60 }, (_, at) => ({
  number: at + 1, milliseconds: Date.now() - (60 - at) * 1000, source: ["init", "network", "console", "session"][at % 4], level: ["info", "info", "debug", "warning", "info", "error"][at % 6],
  text: at === 30 ? `A very long line about ${LONG} and about ${LONG} <b>that is not markup</b>` : `Line ${at + 1}: something happened, and this is what it was.`,
}));
