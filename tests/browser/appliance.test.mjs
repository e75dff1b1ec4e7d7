// The console of a booted appliance, in a real browser: from the first login to Stop, with a real engineer's ssh, a storage array, a
// proxy and a Remote Support Server beside it. DRAWBRIDGE_IMAGE names the folder with the built images.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { request } from "node:https";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, test } from "node:test";
import { promisify } from "node:util";
import { Ajv2020 as Ajv } from "ajv/dist/2020.js";
import { axe, launch, logIn, NARROW, open, overflow, PAGES, shot, visit, WIDE } from "./lib.mjs";

const execute = promisify(execFile);
/** From the top, where the lab leaves what it keeps. */
const run = (program, words) => execute(program, words, { cwd: top });
const top = fileURLToPath(new URL("../../", import.meta.url));
const lab = `${top}target/debug/lab`;
const rss = `${top}target/debug/rss`;
const image = process.env.DRAWBRIDGE_IMAGE || `${top}target/image`;
/** An emulated processor is slow, and a machine that tests is busy. */
const SOON = 120_000;

let state, appliance, facts, browser, page, said = "";

const array = (...order) => run(lab, ["array", "--orders", facts.array_orders, "--tell", order.join(" ")]);
const button = (name) => page.getByRole("button", { name, exact: true }).filter({ visible: true }).first();
const field = (name) => page.getByLabel(name, { exact: true });

/** Waits until a file is there and whole. */
async function json(file) {
  const until = Date.now() + SOON;
  for (;;) {
    try {
      return JSON.parse(await readFile(file, "utf8"));
    } catch (error) {
      if (Date.now() > until || appliance.exitCode !== null) throw new Error(`no ${file}: ${error}\n${said}`);
      // A file tells nobody that it is there.
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

before(async () => {
  state = await mkdtemp(join(tmpdir(), "drawbridge-browser-"));
  appliance = spawn(lab, ["run", "--image", image, "--state", state, "--port", "0", "--ssh-port", "0"], { cwd: top, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [appliance.stdout, appliance.stderr]) stream.on("data", (bytes) => { said = (said + bytes).slice(-200_000); });
  facts = await json(join(state, "facts.json"));
  browser = await launch();
}, { timeout: SOON * 2 });

after(async () => {
  await browser?.close();
  if (appliance?.exitCode === null) {
    const ended = new Promise((resolve) => appliance.once("exit", resolve));
    appliance.kill("SIGINT");
    const kill = setTimeout(() => appliance.kill("SIGKILL"), SOON);
    await ended;
    clearTimeout(kill);
  }
  await rm(state, { recursive: true, force: true });
}, { timeout: SOON * 2 });

afterEach(async () => {
  const faults = page?.faults ?? [];
  await page?.context().close();
  page = undefined;
  assert.deepEqual(faults, []);
});

async function window(size = {}) {
  page = await open(browser, facts.console, size);
  page.setDefaultTimeout(SOON);
}

async function enter(size = {}, user = facts.user) {
  await window(size);
  await logIn(page, user, facts.password);
}

/** What the running lab is asked. */
const bridge = async (...words) => (await run(lab, ["bridge", ...words, "--state", state])).stdout;

/** Fills the way to the server in, as its operator has told it. */
async function fillPath() {
  const way = Object.fromEntries((await bridge("way")).trim().split("\n").map((line) => line.split(/: (.*)/).slice(0, 2)));
  await field("Address of the support server (RSS)").fill(way.Server);
  await page.locator("main details:not([open]) > summary", { hasText: "Advanced" }).click();
  await field("TLS name of the server").fill(way["TLS name"]);
  await field("Pinned certificate").fill(way.Certificate);
  await field("Trust the public authorities that are built in").uncheck();
  await field("Enrolment token").fill(way.Token);
  await field("Proxy").selectOption("http");
  await field("Address of the proxy").fill(way.Proxy);
}

test("the first login asks for the set-up code and the array, has its certificate compared, and is the last that does", { timeout: SOON * 3 }, async () => {
  assert.match(facts.setup_code, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  await window();
  await shot(page, "appliance-login");
  await field("User").fill(facts.user);
  await field("Password").fill(facts.password);
  await button("Log in").click();
  await field("Set-up code").waitFor();
  await field("Address of the array").fill(facts.array);
  await field("Set-up code").fill("0000-0000");
  await button("Log in").click();
  await page.getByText("The set-up code is not the one that the appliance shows.").first().waitFor();
  await field("Set-up code").fill(facts.setup_code.toLowerCase());
  await button("Log in").click();
  // It is shown in groups, which are easier to compare.
  await page.waitForFunction((pairs) => document.body.textContent.replace(/[\s:]/g, "").includes(pairs), facts.array_fingerprint.replaceAll(":", ""));
  assert.deepEqual(await axe(page), []);
  await shot(page, "appliance-first-login");
  await button("They are the same: log in").click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
});

test("the first page weighs little, and is usable soon", { timeout: SOON * 3 }, async () => {
  const begun = performance.now();
  await window();
  await field("User").fill(facts.user);
  const usable = performance.now() - begun;
  const fetched = await page.evaluate(() => performance.getEntries().filter((entry) => "transferSize" in entry)
    .map((entry) => [entry.name, entry.transferSize, entry.responseEnd]));
  const bytes = fetched.reduce((sum, [, size]) => sum + size, 0);
  await logIn(page, facts.user, facts.password);
  const health = await page.evaluate(async () => (await fetch("/api/v1/health")).json());
  const role = health.roles.find((one) => one.role === "console");
  console.log(`figure: the first page: ${fetched.length} files, ${bytes} bytes over the wire, usable after ${Math.round(usable)} ms (the last file was there after ${Math.round(Math.max(...fetched.map(([, , end]) => end)))} ms); the role console holds ${role.memory_kib} KiB`);
  // What it weighs does not depend on speed.
  assert.ok(bytes > 1000 && bytes <= 100_000, JSON.stringify(fetched));
});

test("a wrong password and an array that is down are told apart, and a viewer changes nothing", { timeout: SOON * 3 }, async () => {
  await window();
  await field("User").fill(facts.user);
  await field("Password").fill("wrong");
  await button("Log in").click();
  await page.getByText("The array does not know this user, or the password is wrong").first().waitFor();
  await array("down");
  await field("Password").fill(facts.password);
  await button("Log in").click();
  await page.getByText("The array cannot be reached").first().waitFor();
  await shot(page, "appliance-array-down");
  await array("up");
  await logIn(page, "otto", facts.password);
  await page.getByText("You are logged in as a viewer").filter({ visible: true }).first().waitFor();
  assert.equal(await button("Connect").getAttribute("aria-disabled"), "true");
});

test("when the array is down, the vendor's response to a challenge lets the owner in, once", { timeout: SOON * 4 }, async (t) => {
  const vendor = ["--config", join(state, "vendor/rss.toml")];
  const key = join(state, "support.pem");
  const { stdout } = await run(rss, ["key", ...vendor, key, "--name", "lab"]);
  const line = stdout.split("\n").find((one) => one.startsWith("drawbridge-ed25519 "));
  await enter();
  await visit(page, "array");
  await field("Your own support keys").fill(line);
  await button("Save the keys").click();
  await page.getByText("The support keys are saved.").first().waitFor();
  await page.context().close();
  t.after(() => array("up"));
  await array("down");
  await window();
  await page.getByLabel("With a challenge").check();
  await button("Make a challenge").click();
  const challenge = await page.locator(".challenge").textContent();
  await shot(page, "appliance-challenge");
  assert.deepEqual(await axe(page), []);
  const answered = await run(rss, ["respond", ...vendor, "--key", key, challenge, "--who", "Olga of support", "--reason", "the array is down", "--minutes", "30"]);
  const response = answered.stdout;
  await field("Response or grant").fill(response.replace("A", "B"));
  await button("Log in").click();
  await page.getByText("Copy the whole response again").filter({ visible: true }).first().waitFor();
  await field("Response or grant").fill(response);
  await button("Log in").click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
  await page.locator(".menu > summary").click();
  await page.getByText("Olga of support").first().waitFor();
});

for (const [name, viewport] of Object.entries({ wide: WIDE, narrow: NARROW })) {
  test(`every page of the appliance is accessible and fits its window, ${name}`, { timeout: SOON * 5 }, async () => {
    await enter({ viewport, colorScheme: name === "wide" ? "light" : "dark" });
    for (const one of PAGES) {
      await visit(page, one);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await shot(page, `appliance-${one}-${name}`);
      assert.deepEqual(await axe(page), [], one);
      assert.ok(await overflow(page) <= 0, `${one} scrolls sideways`);
    }
  });
}

test("the owner tests the way, lowers the bridge, an engineer gets in by ssh, is seen, and is out after Stop", { timeout: SOON * 6 }, async () => {
  await enter();
  await visit(page, "connection");
  await fillPath();
  await button("Test Connection").click();
  await page.getByText("Login at the server").first().waitFor();
  await page.getByText("Every step has passed: support can be opened.").first().waitFor();
  await shot(page, "appliance-test");
  await button("Generate").click();
  await page.waitForFunction(() => document.querySelector("[name=secret]").value.includes("-"));
  const secret = await page.locator("[name=secret]").inputValue();
  await field("Session name").fill("case 4711");
  await button("Connect").click();
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  await connected();
  await shot(page, "appliance-open");
  // The engineer, with the stock ssh and a program that answers its question for the secret.
  const [line, answers] = (await bridge("engineer")).trim().split("\n");
  const [program, ...words] = line.split(" ");
  const ssh = spawn(program, ["-tt", ...words], {
    env: { ...process.env, SSH_ASKPASS: answers.split("=")[1], SSH_ASKPASS_REQUIRE: "force", DISPLAY: "none", DRAWBRIDGE_LAB_SECRET: secret },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let shown = "";
  ssh.stdout.on("data", (bytes) => { shown += bytes; });
  ssh.stderr.on("data", (bytes) => { shown += bytes; });
  const left = new Promise((resolve) => ssh.once("exit", resolve));
  await page.getByRole("status").getByText("is in.").waitFor().catch((error) => { throw new Error(`${error}\n${shown}`); });
  await shot(page, "appliance-engineer");
  await button("Stop support").click();
  await page.getByText("Support is closed. Nobody can come in from outside.").first().waitFor();
  await left;
  assert.deepEqual(await axe(page), []);
});

/** The support server knows the appliance: an engineer who comes now gets in. */
const connected = () => page.getByText("Link to the support server: Connected").waitFor();

test("with the array down a signed grant is pasted, an engineer gets in by his key, and the grant is good once", { timeout: SOON * 8 }, async (t) => {
  const vendor = ["--config", join(state, "vendor/rss.toml")];
  const key = join(state, "granting.pem");
  const { stdout } = await run(rss, ["key", ...vendor, key, "--name", "granting"]);
  const line = stdout.split("\n").find((one) => one.startsWith("drawbridge-ed25519 "));
  await enter();
  await visit(page, "array");
  const keys = field("Your own support keys");
  await keys.fill(`${await keys.inputValue()}\n${line}`);
  await button("Save the keys").click();
  await page.getByText("The support keys are saved.").first().waitFor();
  const { serial } = await page.evaluate(async () => (await fetch("/api/v1/device")).json());
  await page.context().close();
  const words = (...more) => ["grant", ...vendor, "--key", key, "--engineer", join(state, "vendor/id_ed25519.pub"), "--case", "4711", "--minutes", "30", "--shell", ...more];
  const make = async (...more) => (await run(rss, words(...more))).stdout;
  const grant = await make("--serial", serial);
  t.after(() => array("up"));
  await array("down");
  await window();
  await page.getByLabel("With a challenge").check();
  const paste = async (text) => {
    await field("Response or grant").fill(text);
    await button("Log in").click();
  };
  const lines = grant.split("\n");
  lines[2] = (lines[2].startsWith("7") ? "8" : "7") + lines[2].slice(1);
  await paste(lines.join("\n"));
  await page.getByText("line 2, group 1").first().waitFor();
  await paste(await make("--serial", "ANOTHER"));
  await page.getByText("it is for the system ANOTHER").first().waitFor();
  await paste(await make("--serial", serial, "--after-hours", "5"));
  // The two clocks are not the same to the second, and hours are told rounded up.
  await page.getByText(/its time begins in [56] hours/).first().waitFor();
  await shot(page, "appliance-grant-refused");
  await paste(grant);
  await page.getByRole("heading", { name: "You have come by this grant" }).waitFor();
  assert.equal(await page.locator("[name=secret]").isVisible(), false);
  await shot(page, "appliance-grant");
  assert.deepEqual(await axe(page), []);
  await button("Connect").click();
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  await page.locator("main dd").getByText("signed by").waitFor();
  await connected();
  // The engineer, with the stock ssh and nothing but his key: BatchMode answers no question for a secret.
  const [ssh_line] = (await bridge("engineer")).trim().split("\n");
  const [program, ...rest] = ssh_line.split(" ");
  const ssh = spawn(program, ["-tt", "-o", "BatchMode=yes", ...rest], { stdio: ["pipe", "pipe", "pipe"] });
  let shown = "";
  for (const stream of [ssh.stdout, ssh.stderr]) stream.on("data", (bytes) => { shown += bytes; });
  const left = new Promise((resolve) => ssh.once("exit", resolve));
  await page.getByRole("status").getByText("is in.").waitFor().catch((error) => { throw new Error(`${error}\n${shown}`); });
  // What the grant does not say is not open.
  await assert.rejects(run("sftp", ["-b", "/dev/null", "-o", "BatchMode=yes", ...rest]));
  await page.reload();
  await button("Stop support").click();
  await page.getByText("Support is closed. Nobody can come in from outside.").first().waitFor();
  await left;
  await page.context().close();
  await window();
  await page.getByLabel("With a challenge").check();
  await paste(grant);
  await page.getByText("it was used already").first().waitFor();
  await shot(page, "appliance-grant-used");
});

/** A call as the array's own pages make it: with credentials, without a cookie. */
function call(path, body) {
  return new Promise((resolve, reject) => {
    const asked = request(`${facts.console}/api/v1/${path}`, { method: "POST", rejectUnauthorized: false, headers: { "content-type": "application/json" } }, (answer) => {
      let text = "";
      answer.on("data", (bytes) => { text += bytes; });
      answer.on("end", () => resolve({ status: answer.statusCode, body: text && JSON.parse(text) }));
      answer.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(JSON.stringify(body));
  });
}

async function closed(credentials) {
  const until = Date.now() + SOON;
  for (;;) {
    const { body } = await call("support/status", credentials);
    if (body.state === "closed") return;
    assert.ok(Date.now() < until, JSON.stringify(body));
    // The array's pages ask in turns, too; more often would be too many tries.
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

test("the array's own pages lower and raise the bridge by a call each, and single sign-on does not choose the server", { timeout: SOON * 3 }, async () => {
  const anna = { user: facts.user, password: facts.password };
  const asked = { secret: "gravel-tuesday-umbrella-quench-nine-lamp", minutes: 30, proxy: { protocol: "http", address: "10.0.2.3:3128" } };
  assert.equal((await call("support/status", { ...anna, password: "wrong" })).body.code, "wrong-credentials");
  assert.equal((await call("support", { ...anna, ...asked, user: facts.viewer, server: "203.0.113.10:443" })).body.code, "no-role");
  const opened = await call("support", { ...anna, ...asked, server: "203.0.113.10:443" });
  assert.equal(opened.status, 201, JSON.stringify(opened.body));
  const { body } = await call("support/status", anna);
  assert.deepEqual([body.grant.id, body.grant.opener], [opened.body.grant, facts.user]);
  assert.ok(!JSON.stringify(body).includes(asked.secret));
  assert.equal((await call("support/terminate", anna)).status, 202);
  await closed(anna);
  const token = (await array("token", facts.user)).stdout.trim();
  const sso = { user: facts.user, password: "SSO", token };
  assert.equal((await call("support", { ...sso, ...asked, server: "rss.example:443" })).body.code, "sso-server");
  assert.equal((await call("support", { ...sso, ...asked })).status, 201);
  assert.equal((await call("support/terminate", sso)).status, 202);
  await closed(sso);
});

/** A bare request: the status, the answer's head and its text. */
const bare = (method, path, headers = {}) => new Promise((resolve, reject) => {
  const { hostname: host, port } = new URL(facts.console);
  const asked = request({ host, port, method, path, headers, rejectUnauthorized: false }, (answer) => {
    let text = "";
    answer.on("data", (bytes) => { text += bytes; });
    answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    answer.on("error", reject);
  });
  asked.on("error", reject);
  asked.end();
});

test("without a session only the allow-list answers, and a name that is not the appliance's gets nothing", { timeout: SOON * 4 }, async () => {
  const open = ["GET session", "POST session", "POST challenge", "POST challenge/response", "GET openapi.json", "POST support", "POST support/status", "POST support/terminate"];
  const described = JSON.parse((await bare("GET", "/api/v1/openapi.json")).text);
  for (const path of Object.keys(described.paths)) {
    for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const { status } = await bare(method, path.replace("{id}", "0123456789abcdef"));
      assert.equal(status === 401, !open.includes(`${method} ${path.replace("/api/v1/", "")}`), `${method} ${path}: ${status}`);
    }
  }
  for (const path of ["bridge/", "/bridge", "Bridge", "bridge;a", "%62ridge", "log%2etxt", "x/%2e%2e/bridge", "bridge%00"]) {
    assert.equal((await bare("GET", `/api/v1/${path}`)).status, 401, path);
  }
  for (const host of ["evil.example", "evil.example:443", "127.0.0.1.evil.example", "sa.local.evil.example"]) {
    assert.equal((await bare("GET", "/", { host })).status, 421, host);
  }
  const { status, headers } = await bare("GET", "/", { "x-forwarded-host": "evil.example", forwarded: "host=evil.example" });
  assert.equal(status, 200);
  assert.ok(!JSON.stringify(headers).includes("evil"));
  for (const name of ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy"]) assert.ok(headers[name], name);
  assert.ok(!headers["content-security-policy"].includes("unsafe"));
});

test("what the calls answer is what their description says, word for word", { timeout: SOON * 3 }, async () => {
  await enter();
  const answers = await page.evaluate(async () => {
    const described = await (await fetch("/api/v1/openapi.json")).json();
    const read = {};
    for (const [path, calls] of Object.entries(described.paths)) {
      const kinds = calls.get?.responses["200"].content;
      if (kinds?.["application/json"] && !path.endsWith("openapi.json") && !path.includes("{")) read[path] = await (await fetch(path)).json();
    }
    read.wrong = await (await fetch("/api/v1/nothing")).json();
    return { described, read };
  });
  const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(answers.described, "api");
  assert.ok(Object.keys(answers.read).length > 12);
  // The server is asked through the bridge, which is raised.
  const problems = { wrong: "not-found", "/api/v1/recordings/server": "bridge-raised" };
  for (const [path, answer] of Object.entries(answers.read)) {
    assert.equal(problems[path], path in problems ? answer.code : undefined, JSON.stringify(answer));
    const at = path in problems ? "api#/components/schemas/Problem" : `api#/paths/${path.replaceAll("/", "~1")}/get/responses/200/content/application~1json/schema`;
    const check = ajv.compile({ $ref: at });
    assert.ok(check(answer), `${path}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(answer)}`);
  }
});

/** The fingerprint of the certificate that the console shows to a new connection. */
const served = () => new Promise((resolve, reject) => {
  const { hostname: host, port } = new URL(facts.console);
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().fingerprint256);
    socket.destroy();
  });
  socket.on("error", reject);
});

test("a change of the network waits for Keep, and one that is taken back is gone", { timeout: SOON * 4 }, async () => {
  await enter();
  await visit(page, "network");
  await field("Host name").fill("box-seven");
  await button("Apply").click();
  await button("Keep").click();
  await page.getByText("The change is kept.").first().waitFor();
  await page.locator("main").getByText("box-seven").first().waitFor();
  await field("Host name").fill("box-eight");
  await button("Apply").click();
  await button("Take back now").click();
  await page.getByText("The change is taken back").first().waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Network" }).waitFor();
  await page.locator("dd").getByText("box-seven").first().waitFor();
});

test("a certificate is requested, signed by an authority, uploaded and served at once; a wrong one is told and not served", { timeout: SOON * 5 }, async () => {
  await enter();
  await visit(page, "certificates");
  await field("Common name").fill("box-seven");
  await field("Organisation").fill("A hospital");
  await field("Country").fill("DE");
  await button("Make a request (CSR)").click();
  const kept = {};
  for (const name of ["support_appliance_private_key.key", "support_appliance_csr.pem"]) {
    const saved = page.waitForEvent("download");
    await button(`Save ${name}`).click();
    kept[name] = join(state, name);
    await (await saved).saveAs(kept[name]);
  }
  const [key, csr] = [kept["support_appliance_private_key.key"], kept["support_appliance_csr.pem"]];
  // An authority that is not ours.
  const openssl = (...words) => run("openssl", words);
  await openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=An authority", "-keyout", join(state, "ca.key"), "-out", join(state, "ca.pem"));
  await openssl("x509", "-req", "-in", csr, "-CA", join(state, "ca.pem"), "-CAkey", join(state, "ca.key"), "-CAcreateserial", "-copy_extensions", "copyall", "-days", "30", "-out", join(state, "leaf.pem"));
  const text = async (...names) => (await Promise.all(names.map((name) => readFile(name, "utf8")))).join("\n");
  const before = await served();
  await field("… or paste it").fill(await text(join(state, "ca.key"), join(state, "leaf.pem")));
  await button("Upload").click();
  await page.locator("[aria-invalid]").first().waitFor();
  await shot(page, "appliance-wrong-certificate");
  assert.equal(await served(), before);
  await field("… or paste it").fill(await text(join(state, "ca.pem"), key, join(state, "leaf.pem")));
  await button("Upload").click();
  await page.getByText("CN=An authority").first().waitFor();
  const { stdout } = await openssl("x509", "-in", join(state, "leaf.pem"), "-noout", "-fingerprint", "-sha256");
  assert.equal(await served(), stdout.trim().split("=")[1]);
});

test("the service is reloaded and the appliance restarted from the menu, and the page goes on by itself", { timeout: SOON * 4 }, async () => {
  await enter();
  await visit(page, "health");
  const choose = async (item) => {
    await page.locator(".menu > summary").click();
    await page.locator(".menu").getByRole("button", { name: item, exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: item, exact: true }).click();
  };
  await choose("Reload Service");
  await page.getByText("The support service is being reloaded.").waitFor();
  await page.getByText("was ended by signal SIGKILL").filter({ visible: true }).first().waitFor();
  await choose("Restart");
  await page.getByText("The appliance is restarting.").waitFor();
  // It was away, is back, and knows nobody any more: the login stands over the page, which is still there.
  await page.getByRole("dialog", { name: "Log in again" }).waitFor();
  await shot(page, "appliance-restarted");
  await logIn(page, facts.user, facts.password);
  await page.getByRole("heading", { name: "Health" }).waitFor();
});
