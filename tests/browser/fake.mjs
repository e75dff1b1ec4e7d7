// A fake appliance for the tests of the pages: serves them with the console's own policy, and answers its API from memory.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as fixtures from "./fixtures.mjs";

const PAGES = fileURLToPath(new URL("../../firmware/roles/console/pages/", import.meta.url));
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { html: "text/html; charset=utf-8", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };

class Refusal extends Error {
  constructor(status, code, detail, remedy = "", more = {}) {
    super(detail);
    this.status = status;
    this.body = { type: `/problems/${code}`, title: code, status, detail, code, remedy, errors: [], ...more };
  }
}

export class Fake {
  constructor() {
    Object.assign(this, {
      person: null, role: "admin", grant: null, arraySet: true, arrayDown: false, delay: 0, requests: [], queries: [], streams: new Set(), port: 0, streaming: true,
      bridge: fixtures.closed(), test: { steps: [], over: true }, network: fixtures.network(), settings: fixtures.networkSettings(), array: fixtures.array(), keys: fixtures.supportKeys(), asked: fixtures.last,
      lines: fixtures.logLines(), live: fixtures.live(), supervised: [], refuse: null, cut: false, recipient: null,
      audit: fixtures.audit(), notices: fixtures.notifications(), trial: { steps: [], over: true }, downloads: [],
    });
  }

  /** Comes up, at the same address as before. */
  async start() {
    this.server = createServer((request, response) => this.answer(request, response).catch((error) => response.destroy(error)));
    await new Promise((resolve, reject) => { this.server.once("error", reject); this.server.listen(this.port, "127.0.0.1", resolve); });
    this.port = this.server.address().port;
    this.base = `http://localhost:${this.port}`;
  }

  /** Goes away as a machine does whose power is cut. */
  async stop() {
    for (const stream of this.streams) stream.destroy();
    this.streams.clear();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  tell(event, data) {
    for (const stream of this.streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  setBridge(next) {
    this.bridge = next;
    this.tell("bridge", next);
  }

  /** The session is over: the next question is refused. */
  expire() { this.person = null; }

  async answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.base);
    if (!pathname.startsWith("/api/")) { await this.file(pathname, response); return; }
    if (this.cut) { request.socket.destroy(); return; }
    const route = `${request.method} ${pathname.slice("/api/v1".length)}`;
    let text = "";
    for await (const part of request) text += part;
    this.queries.push(request.url);
    this.requests.push({ route, body: text && JSON.parse(text) });
    if (this.delay && route !== "GET /events") await new Promise((resolve) => setTimeout(resolve, this.delay));
    try {
      if (route === "GET /events") { this.stream(response); return; }
      const file = /^GET (\/audit\/(export|bundle)|\/recordings\/(server\/)?[\w-]+(\.tar|\/cast))$/.exec(route);
      if (file) { this.may(request); this.downloads.push(request.url); response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename=file" }).end("file"); return; }
      if (route === "GET /log.txt") { this.may(request); response.writeHead(200, { "Content-Type": "text/plain", "Content-Disposition": "attachment; filename=log.txt" }).end(this.lines.map((line) => line.text).join("\n")); return; }
      if (request.method !== "GET" && request.headers["x-csrf-token"] !== "token") throw new Refusal(403, "csrf", "The token is missing.");
      const [status, body] = this.route(route, text ? JSON.parse(text) : {}, searchParams, request);
      response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" }).end(body === undefined ? "" : JSON.stringify(body));
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      response.writeHead(refusal.status, { "Content-Type": "application/problem+json" }).end(JSON.stringify(refusal.body));
    }
  }

  async file(pathname, response) {
    const name = pathname === "/" ? "index.html" : pathname.slice(1);
    const kind = TYPES[name.split(".").pop()];
    try {
      if (!kind || name.includes("..")) throw new Error("not a page");
      const body = await readFile(PAGES + name);
      response.writeHead(200, { "Content-Type": kind, "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  stream(response) {
    if (!this.person) throw new Refusal(401, "no-session", "You are not logged in.", "Log in.");
    if (!this.streaming) { response.writeHead(502).end(); return; }
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write("retry: 1000\n\n");
    this.streams.add(response);
    response.on("close", () => this.streams.delete(response));
    this.tell("bridge", this.bridge);
    this.tell("test", this.test);
    this.tell("network", this.network);
    this.tell("session", { seconds_left: 28_000, idle_seconds_left: 900 });
  }

  session() {
    return { csrf: "token", system: fixtures.system, profile: fixtures.outside(), array: { set: this.arraySet, host: this.arraySet ? this.array.host : null }, person: this.person && { name: this.person, role: this.role, way: this.grant ? "grant" : "array", grant: this.grant, idle_seconds_left: 900, seconds_left: 28_800 } };
  }

  may(request) {
    if (!this.person) throw new Refusal(401, "no-session", "You are not logged in.", "Log in.");
    if (this.role === "grant" && request.method !== "GET" && !/\/bridge(\/end|\/test)?$|\/session$/.test(request.url)) throw new Refusal(403, "grant-only", "You have come by a grant.");
    if (this.role === "grant" && /\/(audit|notifications)/.test(request.url)) throw new Refusal(403, "grant-only", "You have come by a grant.", "Log in with an administrator of the array.");
    if (request.method !== "GET" && this.role === "viewer") throw new Refusal(403, "viewer", "A viewer may not do this.", "Ask an administrator.");
  }

  logIn(body) {
    if (this.arrayDown) throw new Refusal(503, "array-down", "The array does not answer.", "Look whether it is on and its network works, or log in with a challenge.");
    if (!this.arraySet) {
      if (!body.setup) throw new Refusal(409, "array-unset", "The appliance does not know its array yet.", "Type in the array’s address and the set-up code.");
      if (body.setup.code !== "1234-5678") throw new Refusal(403, "wrong-code", "This is not the set-up code.", "Read it from the appliance’s screen again.", { errors: [{ field: "setup.code", wrong: "this is not the code", right: "the code on the screen" }] });
      if (body.setup.fingerprint !== fixtures.certificate().fingerprint) throw new Refusal(409, "array-certificate", "Nothing vouches for the array’s certificate yet.", "Compare its fingerprint.", { shown: fixtures.certificate() });
      this.arraySet = true;
    }
    if (body.password !== "correct") throw new Refusal(401, "wrong-credentials", "User or password is wrong.", "Type both again.", { errors: [{ field: "password", wrong: "the array does not accept it together with this user", right: "the password of your user of the array" }] });
    this.person = body.user;
    return [200, this.session()];
  }

  open(body) {
    const errors = [];
    if (!body.name) errors.push({ field: "name", wrong: "this is empty", right: "a word or two that tell it from others" });
    if (!body.path.server) errors.push({ field: "path.server", wrong: "this is empty", right: "a name or an address" });
    body.scope.targets.forEach((target, at) => { if (target.endsWith(":0")) errors.push({ field: `scope.targets[${at}].port`, wrong: "0 is no TCP port", right: "a port from 1 to 65535, as 22" }); });
    (body.keys || []).forEach((key, at) => { if (!key.line.startsWith("ssh-")) errors.push({ field: `proof.keys[${at}].line`, wrong: "this is no public key", right: "one line as OpenSSH writes it" }); });
    if (!body.secret && !body.keys) errors.push({ field: "secret", wrong: "there is neither a secret nor a key", right: "at least one of them" });
    if (errors.length) throw new Refusal(422, "fields", "Something in the form is not right.", "Put the marked fields right.", { errors });
    this.asked = body;
    this.setBridge({ ...fixtures.open(body, this.person), approved_by: this.grant || body.grant ? { case: "4711", signer: fixtures.ARABIC } : null });
    return [201, { grant: 7 }];
  }

  checkGrant(text) {
    if (text === "GRANT used") throw new Refusal(403, "grant-used", "The grant does not count: it was used already, and each is good for one session.", "Tell support that a second session is needed.");
    if (text !== "GRANT right") throw new Refusal(403, "grant-damaged", "The grant does not count: a character is wrong in line 2, group 3.", "Copy the whole text again.");
  }

  /** Events as they are asked for. */
  auditPage(query) {
    const codes = (query.get("codes") || "").split(",").filter(Boolean);
    const order = ["info", "notice", "warning", "error", "critical"];
    if ((query.get("text") || "").includes("\u0007")) throw new Refusal(422, "invalid", "An entry is not right.", "Correct it.", { errors: [{ field: "text", wrong: "this cannot be looked for", right: "one line of at most 128 bytes" }] });
    const wanted = this.audit.filter((one) => (!codes.length || codes.includes(one.code)) && order.indexOf(one.severity) >= order.indexOf(query.get("severity") || "info")
      && one.summary.toLowerCase().includes((query.get("text") || "").toLowerCase()) && one.sequence < Number(query.get("before") || Infinity)
      && one.ms >= Number(query.get("from") || 0));
    const events = wanted.slice(0, Number(query.get("most") || 50));
    return { events, before: wanted.length > events.length ? events[events.length - 1].sequence : null };
  }

  setNotices(body) {
    const errors = [];
    if (body.syslog && !body.syslog.server) errors.push({ field: "syslog.server", wrong: "there is no host", right: "a name or an address" });
    (body.mail?.to || []).forEach((to, at) => { if (!to.includes("@")) errors.push({ field: `mail.to[${at}]`, wrong: "this is no mail address", right: "name@example.com" }); });
    if (errors.length) throw new Refusal(422, "invalid", "An entry is not right.", "Correct what is marked, and send it again.", { errors });
    const without = ({ password, ...rest }) => ({ ...rest, has_password: Boolean(password) });
    this.notices = { ...this.notices, settings: { array: body.array && without(body.array), syslog: body.syslog, mail: body.mail && without(body.mail) } };
    return [200, this.notices];
  }

  beginTrial() {
    this.trial = { steps: [fixtures.notificationSteps[0]], over: false };
    setTimeout(() => { this.trial = { steps: fixtures.notificationSteps, over: true }; }, 300);
    return [202];
  }

  beginTest() {
    this.test = { steps: [{ ...fixtures.steps[0], result: "running", detail: "" }], over: false };
    setTimeout(() => { this.test = { steps: fixtures.steps, over: true }; this.tell("test", this.test); }, 300);
    return [202];
  }

  route(route, body, query, request) {
    if (this.refuse?.[route]) throw new Refusal(...this.refuse[route]);
    switch (route) {
      case "GET /session": return [200, this.session()];
      case "POST /session": return this.logIn(body);
      case "POST /challenge": return [200, { text: "D1ABC-7KQ2M-PX9WD-4RT6H-ZN3VB-8YFJC-K5GAE-Q2LSU", qr: fixtures.qr(), expires_seconds: 900, tries_left: 5, keys: ["Vendor support 2026", fixtures.ARABIC] }];
      case "POST /challenge/response":
        if (/^GRANT/.test(body.response)) {
          this.checkGrant(body.response);
          Object.assign(this, { person: "grant for case 4711", role: "grant", grant: fixtures.terms() });
          return [200, this.session()];
        }
        if (body.response !== "right") throw new Refusal(403, "response-wrong", "This response does not fit the challenge.", "Ask support for a response to this challenge.");
        this.person = "challenge 4711";
        return [200, this.session()];
      default:
    }
    this.may(request);
    switch (route) {
      case "DELETE /session": this.person = null; return [204];
      case "GET /bridge": return [200, this.bridge];
      case "GET /bridge/last": { const { secret: _, ...rest } = this.asked; return [200, rest]; }
      case "POST /bridge/secret": return [200, { secret: "amber-canyon-violet-harbour-stone-river" }];
      case "POST /bridge": return this.open(body);
      case "DELETE /bridge": this.setBridge(fixtures.closed()); return [202];
      case "PUT /bridge/end": this.setBridge({ ...this.bridge, seconds_left: body.minutes * 60 }); return [200, {}];
      case "POST /bridge/test": return this.beginTest();
      case "GET /bridge/test": return [200, this.test];
      case "GET /device": return [200, { host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3xVwq6qkJ1yFrmhW7dGJmQ", host_fingerprint: "SHA256:Zk3b0aXq1b9vJrFJkq7b8hP2o0X3sD5t6yU7iO8pA1s", login_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBr", evidence_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk", evidence_fingerprint: "SHA256:w2n5P1yB8mC3dQ4eR5tT6uY7iO8pA9sD0fG1hJ2kL3z", serial: fixtures.system.serial, name: "support-1" }];
      case "POST /grant": this.checkGrant(body.grant); return [200, fixtures.terms()];
      case "GET /profile": return [200, fixtures.profile()];
      case "GET /network": return [200, this.network];
      case "GET /network/settings": return [200, this.settings];
      case "PUT /network/settings":
        if (body.interfaces.some((one) => one.mtu === 1)) throw new Refusal(422, "fields", "Something in the form is not right.", "Put the marked fields right.", { errors: [{ field: "interfaces[0].mtu", wrong: "1 is no size of a packet", right: "a whole number from 576 to 9216, as 1500" }] });
        this.before = this.settings;
        this.settings = body;
        this.network = { ...this.network, pending: { id: "c1", seconds: body.confirm_seconds } };
        this.tell("network", this.network);
        return [202, this.network.pending];
      case "POST /network/changes/c1/confirm": this.network = fixtures.network(); this.tell("network", this.network); return [204];
      case "DELETE /network/changes/c1": this.settings = this.before; this.network = fixtures.network(); this.tell("network", this.network); return [204];
      case "GET /certificate": return [200, fixtures.certificate()];
      case "PUT /certificate":
        if (!body.pem.includes("KEY")) throw new Refusal(422, "fields", "The file cannot be used.", "Upload one with key and certificate.", { errors: [{ field: "pem", wrong: "there is no private key in it", right: "key and certificates in one file" }] });
        return [200, fixtures.certificate()];
      case "POST /certificate/request": return [200, { files: [{ name: "support-1.key", text: "-----BEGIN PRIVATE KEY-----\n" }, { name: "support-1-csr.pem", text: "-----BEGIN CERTIFICATE REQUEST-----\n" }] }];
      case "POST /certificate/self-signed": return [200, fixtures.certificate()];
      case "GET /array": return [200, this.array];
      case "PUT /array":
        if (!body.fingerprint && !body.pem) throw new Refusal(409, "array-certificate", "Nothing vouches for this certificate yet.", "Compare its fingerprint.", { shown: fixtures.certificate() });
        this.array = { ...this.array, host: body.host };
        return [200, this.array];
      case "POST /array/probe": return [200, { shown: fixtures.certificate() }];
      case "GET /support-keys": return [200, this.keys];
      case "PUT /support-keys": this.keys = { keys: this.keys.keys.map((key) => ({ ...key, on: !body.off.includes(key.key) })) }; return [200, this.keys];
      case "GET /health": return [200, fixtures.health()];
      case "GET /live": return [200, this.live];
      case "GET /live/20261127T014500Z-3fa9c01d": return [200, fixtures.screen(Number(query.get("after")))];
      case "POST /bridge/visitors/1": case "POST /bridge/visitors/2": this.supervised.push([route.slice(-1), body]); return [204];
      case "GET /recordings": return [200, fixtures.recordings()];
      case "GET /recordings/encryption": return [200, { recipient: this.recipient }];
      case "PUT /recordings/encryption":
        if (body.recipient?.startsWith("AGE-SECRET-KEY-")) throw new Refusal(422, "fields", "One of the values is not right.", "Mend it, and try again.", { errors: [{ field: "recipient", wrong: "this is a private key", right: "a public key" }] });
        this.recipient = body.recipient;
        return [200, { recipient: this.recipient }];
      case "GET /recordings/server":
        if (this.unable) throw new Refusal(409, "server-cannot", "This support server gives no recordings back.", "Ask its operator for them, or for a newer server.");
        return [200, fixtures.atServer(query.get("before"))];
      case "GET /recordings/20261127T024500Z-3fa9c01d/events": return [200, fixtures.story()];
      case "GET /recordings/20261127T044500Z-3fa9c01d/events": return [200, fixtures.sealedStory()];
      case "GET /recordings/20261127T024500Z-3fa9c01d/play": return [200, fixtures.played(Number(query.get("at")))];
      case "GET /recordings/20261127T024500Z-3fa9c01d/search":
        return [200, query.get("next") ? { next: null, reached: 90_000, fault: "", hits: [{ at: 60_000, line: "after a long while <b>x</b>" }] } : { next: 5, reached: 30_000, fault: "", hits: [{ at: 1000, line: "sa> status" }] }];
      case "GET /audit": return [200, this.auditPage(query)];
      case "GET /audit/state": return [200, fixtures.auditState()];
      case "POST /audit/verify": return [200, fixtures.auditChecked()];
      case "GET /notifications": return [200, this.notices];
      case "PUT /notifications": return this.setNotices(body);
      case "POST /notifications/test": return this.beginTrial();
      case "GET /notifications/test": return [200, this.trial];
      case "GET /log": return [200, { lines: this.lines.filter((line) => line.number > Number(query.get("after"))).slice(0, 200) }];
      case "POST /service/reload": return [202];
      case "POST /power": return [202];
      default: throw new Refusal(404, "not-found", `There is no ${route}.`);
    }
  }
}
