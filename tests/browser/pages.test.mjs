// What the console's pages promise, shown against a fake appliance: the same policy, the same routes, no machine.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Fake } from "./fake.mjs";
import * as fixtures from "./fixtures.mjs";
import { NARROW, PAGES, WIDE, axe, launch, logIn, open, overflow, press, shot, tabTo, typeInto, visit } from "./lib.mjs";

let browser;
let fake;
let page;

before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });
beforeEach(async () => { fake = new Fake(); await fake.start(); });
afterEach(async () => {
  const faults = page?.faults || [];
  await page?.context().close();
  page = null;
  await fake.stop();
  assert.deepEqual(faults, [], "the browser's console");
});

const start = async (how) => { page = await open(browser, fake.base, how); };
const enter = async (how) => { await start(how); await logIn(page, "anna", "correct"); };
const field = (label) => page.getByLabel(label, { exact: true });
const button = (name) => page.getByRole("button", { name, exact: true });
const focused = () => page.evaluate(() => document.activeElement.name || document.activeElement.textContent);
const session = { name: "case 4711", reason: "A disk", level: "direct", scope: { targets: [`${fixtures.LONG}.example.com:22`], shell: true, files: true, forwards: true }, minutes: 240, secret: "x", sources: ["198.51.100.0/24"] };
const visitor = (name) => ({ connection: "1", name, source: "198.51.100.9", seconds: 5, supervised: { watchers: [], hold: null, proposal: null } });

async function sound(name) {
  assert.deepEqual(await axe(page), [], `axe: ${name}`);
  assert.equal(await overflow(page), 0, `sideways: ${name}`);
  await shot(page, name);
}

for (const [size, viewport] of Object.entries({ wide: WIDE, narrow: NARROW })) {
  for (const colorScheme of ["light", "dark"]) {
    const at = (name) => `${name}-${size}-${colorScheme}`;

    test(`every page is accessible and fits: ${size}, ${colorScheme}`, async () => {
      await start({ viewport, colorScheme });
      await button("Log in").waitFor();
      await sound(at("login"));
      await page.getByLabel("With a challenge").check();
      await button("Make a challenge").click();
      await page.locator(".qr").waitFor();
      await sound(at("challenge"));
      await page.reload();
      await logIn(page, "anna", "correct");
      for (const name of PAGES) {
        await visit(page, name);
        await page.evaluate(() => document.querySelectorAll("main details").forEach((one) => { one.open = true; }));
        await sound(at(name));
      }
      await page.evaluate(() => { location.hash = "#/recordings/20261127T024500Z-3fa9c01d"; });
      await page.locator(".cells", { hasText: "sa>" }).first().waitFor();
      await sound(at("player"));
    });

    test(`the states that matter most are accessible and fit: ${size}, ${colorScheme}`, async () => {
      await enter({ viewport, colorScheme });
      await button("Connect").click();
      await page.locator("[aria-invalid]").first().waitFor();
      await sound(at("errors"));
      await button("Test Connection").click();
      await page.getByText("The test has failed").first().waitFor();
      await sound(at("test"));
      const bridge = { ...fixtures.open(session, fixtures.LONG), visitors: [visitor(fixtures.ARABIC), { ...visitor(fixtures.LONG), connection: "2" }], burned: true };
      fake.setBridge(bridge);
      await page.getByRole("heading", { name: "Support is open" }).waitFor();
      await sound(at("open"));
      fake.setBridge({ ...bridge, state: "failed_to_close", leftovers: "1 processes, 0 sockets, 0 terminals and 2 files are left" });
      await page.getByText("The appliance goes on trying.").waitFor();
      await sound(at("failed-to-close"));
      await page.locator(".menu > summary").click();
      await sound(at("menu"));
      await button("Power off").click();
      await page.getByRole("dialog").waitFor();
      await sound(at("dialog"));
      await page.keyboard.press("Escape");
      await visit(page, "network");
      await button("Apply").click();
      await button("Keep").waitFor();
      await sound(at("pending"));
      fake.expire();
      await button("Take back now").click();
      await page.getByRole("dialog", { name: "Log in again" }).waitFor();
      await sound(at("again"));
    });
  }
}

test("the vendor's profile gives names, texts and servers, and the page does not take a server by itself", async () => {
  await start();
  await page.getByLabel("With my user of the Acme box").waitFor();
  await page.getByText("Your user of the Acme box, with its role Admin.").waitFor();
  assert.match(await page.title(), /Acme Support Appliance/);
  await page.getByLabel("With a challenge").check();
  await page.getByText("Acme’s support calls you back before it answers.").waitFor();
  await page.getByLabel("With my user of the Acme box").check();
  await logIn(page, "anna", "correct");
  await page.getByText("Take the first one unless").waitFor();
  const server = field("Address of the support server (RSS)");
  assert.equal(await server.inputValue(), "");
  await button("Use rss-2.acme.example:443").click();
  assert.equal(await server.inputValue(), "rss-2.acme.example:443");
  await visit(page, "certificates");
  await page.getByText("The common name is the name of the Acme box.").waitFor();
});

test("by keyboard alone one logs in, tests, connects and stops", async () => {
  await start();
  await button("Log in").waitFor();
  await typeInto(page, "User", "anna");
  await typeInto(page, "Password", "correct");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Connection" }).waitFor();
  assert.equal(await focused(), "Connection", "the page's heading has the focus");
  await button("Connect").waitFor();
  await typeInto(page, "Address of the support server (RSS)", "rss.example.com");
  await press(page, "Generate");
  await page.waitForFunction(() => document.querySelector("[name=secret]").value.includes("-"));
  await typeInto(page, "Terminate after", "3");
  assert.match(await page.locator(".ends").first().textContent(), /^ends [A-Z][a-z]+day \d{1,2} [A-Z][a-z]+, \d\d:\d\d$/);
  await typeInto(page, "Session name", "case 4711");
  await press(page, "Test Connection");
  await page.getByText("Set the TLS name under Advanced").waitFor();
  await press(page, "Connect");
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  const asked = fake.requests.find((one) => one.route === "POST /bridge").body;
  assert.equal(asked.minutes, 180);
  assert.equal(asked.path.server, "rss.example.com");
  assert.equal(asked.secret, "amber-canyon-violet-harbour-stone-river");
  assert.equal("keys" in asked, false);
  await press(page, "Stop support");
  await page.getByText("Support is closed. Nobody can come in from outside.").waitFor();
  assert.equal(fake.requests.filter((one) => one.route === "DELETE /bridge").length, 1, "one press stops");
});

test("an engineer who comes and leaves is told on every page, and Stop is there", async () => {
  await enter();
  await visit(page, "health");
  fake.setBridge(fixtures.open(session, "anna"));
  await button("Stop support").waitFor();
  fake.setBridge({ ...fake.bridge, visitors: [visitor(fixtures.ARABIC)] });
  await page.getByRole("status").getByText("is in.").waitFor();
  assert.match(await page.locator("#toasts").textContent(), new RegExp(`Engineer ${fixtures.ARABIC} from 198.51.100.9 is in.`));
  fake.setBridge({ ...fake.bridge, visitors: [] });
  await page.getByRole("status").getByText("has left.").waitFor();
  await button("Stop support").click();
  await page.getByRole("status").getByText("Support is closed. Nobody can come in.").waitFor();
  assert.equal(await button("Stop support").count(), 0);
});

test("the owner is told when recordings stay on the appliance because the server takes none", async () => {
  await enter();
  const open = fixtures.open(session, "anna");
  fake.setBridge(open);
  await page.getByText("Link to the support server: Connected").waitFor();
  const told = page.getByText("This server takes no recordings: they stay on the appliance");
  assert.equal(await told.count(), 0);
  fake.setBridge({ ...open, link: { ...open.link, takes_recordings: false } });
  await told.waitFor();
});

test("errors land on their fields, and the first has the focus", async () => {
  await enter();
  await field("Targets").fill("node-1:22\nnode-2:0");
  await page.getByText("Advanced:").click();
  await button("Add a key").click();
  await button("Add a key").click();
  await field("Public key").first().fill("ssh-ed25519 AAAA anna");
  await field("Public key").last().fill("nonsense");
  await page.getByText("Advanced:").click();
  await button("Connect").click();
  await page.locator("[aria-invalid]").first().waitFor();
  const wrong = await page.evaluate(() => [...document.querySelectorAll("[aria-invalid]")].map((input) => [
    input.name, [...input.getAttribute("aria-describedby").split(" ")].map((id) => document.getElementById(id)).filter((one) => one.className === "wrong").map((one) => one.textContent).join()]));
  assert.deepEqual(wrong.map(([name]) => name), ["path.server", "name", "scope.targets", "keys[].line"]);
  assert.equal(wrong[2][1], "Line 2: 0 is no TCP port. Right is: a port from 1 to 65535, as 22.");
  assert.equal(await field("Public key").last().isVisible(), true, "what was folded is unfolded");
  assert.equal(await field("Public key").last().getAttribute("aria-invalid"), "true", "the second key is meant");
  assert.equal(await focused(), "path.server");
  assert.match(await page.getByRole("alert").filter({ hasText: "Something in the form" }).textContent(), /Put the marked fields right\./);
});

test("a session that runs out lays the login over the page, and keeps what was typed", async () => {
  await enter();
  await field("Session name").fill("case 4711");
  await field("Secret for the engineer").fill("typed-secret");
  await field("Address of the support server (RSS)").fill("rss.example.com");
  fake.expire();
  await button("Connect").click();
  const dialog = page.getByRole("dialog", { name: "Log in again" });
  await dialog.waitFor();
  assert.equal(await focused(), "user");
  await dialog.getByLabel("User", { exact: true }).fill("anna");
  await dialog.getByLabel("Password").fill("correct");
  await dialog.getByRole("button", { name: "Log in" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await field("Session name").inputValue(), "case 4711");
  assert.equal(await field("Secret for the engineer").inputValue(), "typed-secret");
  assert.equal(await focused(), "Connect", "the focus is where it was");
  await button("Connect").click();
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
});

test("what was typed stays when pages are changed and loaded anew, but secrets never reach the storage", async () => {
  await enter();
  await field("Session name").fill("case 4711");
  await field("Secret for the engineer").fill("typed-secret");
  await field("Proxy").selectOption("http");
  await field("Password at the proxy").fill("proxy-password");
  await visit(page, "health");
  await visit(page, "connection");
  assert.equal(await field("Session name").inputValue(), "case 4711");
  assert.equal(await field("Secret for the engineer").inputValue(), "typed-secret");
  assert.equal(await field("Password at the proxy").inputValue(), "proxy-password");
  const stored = await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }));
  assert.doesNotMatch(stored, /typed-secret|proxy-password/);
  await page.reload();
  await field("Session name").waitFor();
  assert.equal(await field("Session name").inputValue(), "case 4711");
  assert.equal(await field("Secret for the engineer").inputValue(), "");
  await page.locator(".menu > summary").click();
  await button("Log out").click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, "nothing stays behind for whoever comes next");
});

test("the pages survive a restart of the appliance by themselves", async () => {
  await enter();
  await field("Session name").fill("case 4711");
  await fake.stop();
  await page.getByText("The connection to the appliance is lost.").waitFor();
  await button("Connect").click();
  await page.getByText("The appliance does not answer.").waitFor();
  await fake.start();
  await page.getByText("The connection to the appliance is lost.").waitFor({ state: "detached" });
  assert.equal(await field("Session name").inputValue(), "case 4711");
  fake.setBridge(fixtures.open(session, "anna"));
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
});

test("an appliance that comes back without the session asks for the login, over the page", async () => {
  await enter();
  await field("Session name").fill("case 4711");
  await fake.stop();
  await page.getByText("The connection to the appliance is lost.").waitFor();
  fake.expire();
  await fake.start();
  const dialog = page.getByRole("dialog", { name: "Log in again" });
  await dialog.waitFor();
  await dialog.getByLabel("User", { exact: true }).fill("anna");
  await dialog.getByLabel("Password").fill("correct");
  await dialog.getByRole("button", { name: "Log in" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await field("Session name").inputValue(), "case 4711");
});

test("the login waits for an appliance that restarts, and keeps what was typed", async () => {
  await start();
  await field("User").fill("anna");
  await field("Password").fill("correct");
  await fake.stop();
  await button("Log in").click();
  await page.getByText("The connection to the appliance is lost.").waitFor();
  await fake.start();
  await page.getByText("The connection to the appliance is lost.").waitFor({ state: "detached" });
  assert.equal(await field("User").inputValue(), "anna");
  await button("Log in").click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
});

test("the console opens by itself when its first page came just before a restart", async () => {
  fake.cut = true;
  await start();
  await page.getByText("The connection to the appliance is lost.").waitFor();
  fake.cut = false;
  await button("Log in").waitFor();
});

test("the secret of an open session is shown to who made it, and is gone when the session ends", async () => {
  await enter();
  await field("Address of the support server (RSS)").fill("rss.example.com");
  await field("Session name").fill("case 4711");
  await field("Secret for the engineer").fill("amber-canyon");
  await button("Connect").click();
  await button("Show the secret").click();
  await page.getByText("amber-canyon").waitFor();
  await button("Stop support").first().click();
  await button("Connect").waitFor();
  assert.equal(await field("Secret for the engineer").inputValue(), "");
  assert.equal(await field("Session name").inputValue(), "case 4711");
  fake.setBridge(fixtures.open(session, "anna"));
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  await page.getByText("amber-canyon").waitFor({ state: "hidden" });
});

test("an error of a group lands on the group", async () => {
  fake.refuse = { "POST /bridge": [422, "fields", "Something in the form is not right.", "Put it right.", { errors: [{ field: "scope", wrong: "an engineer could do nothing at all", right: "at least one of shell, files and forwards" }, { field: "proof.keys", wrong: "there is no key", right: "at least one public key" }, { field: "unheard.of", wrong: "nobody knows this", right: "" }] }] };
  await enter();
  await button("Connect").click();
  await page.locator("fieldset[data-at=scope] > .wrong").waitFor();
  assert.equal(await focused(), "scope.shell");
  await page.locator("fieldset[data-at=keys] > .wrong").waitFor();
  await page.getByRole("alert").getByText("unheard.of: Nobody knows this.").waitFor();
});

test("where streams do not pass, the state is asked for", async () => {
  fake.streaming = false;
  await enter();
  await button("Connect").waitFor();
  fake.bridge = fixtures.open(session, "anna");
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
});

test("each click shows within 100 ms that something happens, however slow the appliance is", async () => {
  await enter();
  await field("Address of the support server (RSS)").fill("rss.example.com");
  await field("Session name").fill("case 4711");
  const slow = async (locator) => {
    fake.delay = 2000;
    const took = await locator.evaluate((one) => new Promise((resolve) => {
      const began = performance.now();
      const see = () => requestAnimationFrame(() => (one.getAttribute("aria-busy") === "true" ? resolve(performance.now() - began) : performance.now() - began > 1900 ? resolve(Infinity) : see()));
      one.click();
      if (one.getAttribute("aria-busy") === "true") resolve(performance.now() - began);
      else see();
    }));
    const words = (await locator.textContent().catch(() => "")) || "";
    fake.delay = 0;
    assert.ok(took < 100, `${await locator.evaluate((one) => one.outerHTML)}: ${took} ms`);
    await page.waitForFunction(() => !document.querySelector("button[aria-busy]"));
    return words;
  };
  // Held by its element: the name changes while it is busy.
  const held = async (name) => (await button(name).first().elementHandle());
  const check = async (name, words) => assert.equal(await slow(await held(name)), words, name);
  await check("Generate", "Generating …");
  await check("Test Connection", "Testing …");
  await check("Connect", "Opening support …");
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  await check("+1 h", "Changing …");
  await check("Set", "Changing …");
  await check("Stop support", "Stopping …");
  await visit(page, "network");
  await check("Apply", "Applying …");
  await button("Keep").waitFor();
  await check("Keep", "Keeping …");
  await button("Keep").waitFor({ state: "hidden" });
  await visit(page, "certificates");
  await check("Upload", "Checking the certificate …");
  await check("Make a request (CSR)", "Making key and request …");
  await check("Make a self-signed certificate", "Making the certificate …");
  await visit(page, "array");
  await check("Use this array", "Asking the array …");
  await check("Show its certificate", "Asking the array …");
  await check("Save the keys", "Saving …");
  await visit(page, "audit");
  await check("Verify now", "Verifying …");
  await check("Show", "Asking …");
  await check("Show earlier ones", "Asking …");
  await visit(page, "notifications");
  await check("Save", "Saving …");
  await check("Test Configuration: Mail", "Testing …");
  for (const [name, words] of [["Reload Service", "Reloading …"], ["Restart", "Restarting …"], ["Power off", "Powering off …"]]) {
    await page.locator(".menu > summary").click();
    await button(name).click();
    assert.equal(await slow(await page.getByRole("dialog").getByRole("button", { name, exact: true }).elementHandle()), words);
  }
});

test("a change of the network is kept, or taken back, and its countdown is seen", async () => {
  await enter();
  await visit(page, "network");
  await page.locator("summary", { hasText: /^management$/ }).click();
  await field("IPv4 address and network").first().fill("192.0.2.70/24");
  await field("Largest packet (MTU)").first().fill("1");
  await button("Apply").click();
  await page.getByText("a whole number from 576 to 9216").first().waitFor();
  assert.equal(await focused(), "interfaces[0].mtu");
  await field("Largest packet (MTU)").first().fill("");
  const before = fixtures.networkSettings();
  await button("Apply").click();
  await button("Keep").waitFor();
  assert.match(await page.locator(".pending p").first().textContent(), /takes itself back in \d+/);
  const sent = fake.requests.filter((one) => one.route === "PUT /network/settings").at(-1).body;
  before.interfaces[0].ipv4.static.address = "192.0.2.70/24";
  assert.deepEqual(sent, before, "what was not touched is sent as it was");
  await fake.stop();
  await page.getByText("If it has a new address").waitFor();
  assert.match(await page.locator(".pending a").getAttribute("href"), /^https:\/\/192\.0\.2\.70:\d+\/#\/network$/);
  await fake.start();
  await page.getByText("If it has a new address").waitFor({ state: "detached" });
  await button("Take back now").click();
  await page.getByRole("status").getByText("The change is taken back").waitFor();
  await page.getByText("The form holds what you typed. It is not in force.").waitFor();
  assert.equal(await field("IPv4 address and network").first().inputValue(), "192.0.2.70/24", "what was typed is not lost");
  await button("Discard what I typed").click();
  await page.waitForFunction(() => document.querySelector('[name="interfaces[0].ipv4.static.address"]').value === "192.0.2.7/24");
  await button("Apply").click();
  await button("Keep").click();
  await page.getByRole("status").getByText("The change is kept").waitFor();
  await button("Keep").waitFor({ state: "hidden" });
  assert.equal(await button("Keep").isVisible(), false);
});

test("key and request are saved as two files under the policy that the console is served with", async () => {
  await enter();
  await visit(page, "certificates");
  await button("Make a request (CSR)").click();
  for (const name of ["support-1.key", "support-1-csr.pem"]) {
    const [file] = await Promise.all([page.waitForEvent("download"), button(`Save ${name}`).click()]);
    assert.equal(file.suggestedFilename(), name);
    assert.equal(await file.failure(), null);
  }
  await visit(page, "logs");
  const [log] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download the log" }).click()]);
  assert.equal(await log.failure(), null);
});

test("the first login sets the array: the code, then the certificate that a person has compared", async () => {
  fake.arraySet = false;
  await start();
  await field("Address of the array").fill("array.example.com");
  await field("Set-up code").fill("0000-0000");
  await field("User").fill("anna");
  await field("Password").fill("correct");
  await button("Log in").click();
  await page.getByText("Read it from the appliance’s screen again.").waitFor();
  assert.equal(await focused(), "setup.code");
  await field("Set-up code").fill("1234-5678");
  await button("Log in").click();
  await page.getByRole("heading", { name: "Is this your array?" }).waitFor();
  assert.equal(await focused(), "Is this your array?");
  assert.deepEqual(await axe(page), []);
  await shot(page, "first-login");
  await button("They are the same: log in").click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
  assert.equal(fake.requests.filter((one) => one.route === "POST /session").at(-1).body.setup.fingerprint, fixtures.certificate().fingerprint);
});

test("with the array down one gets in by a challenge", async () => {
  fake.arrayDown = true;
  await start();
  await field("User").fill("anna");
  await field("Password").fill("correct");
  await button("Log in").click();
  await button("Log in with a challenge").click();
  await button("Make a challenge").click();
  await button("Copy the challenge").click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^D1ABC-/);
  assert.match(await page.locator(".countdown").textContent(), /^Good for another 1[45] min/);
  await field("Response or grant").fill("wrong");
  await button("Log in").click();
  await page.locator("[aria-invalid]").waitFor();
  assert.equal(await focused(), "response");
  await field("Response or grant").fill("right");
  await button("Log in").click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
});

for (const [size, viewport] of Object.entries({ wide: WIDE, narrow: NARROW })) {
  test(`with the array down one gets in by a grant, and opens its session and nothing else: ${size}`, async () => {
    await start({ viewport });
    await page.getByLabel("With a challenge").check();
    const pasted = field("Response or grant");
    await pasted.fill("GRANT damaged");
    await button("Log in").click();
    await page.getByText("line 2, group 3").first().waitFor();
    assert.equal(await focused(), "response");
    await pasted.fill("GRANT used");
    await button("Log in").click();
    await page.getByText("it was used already").first().waitFor();
    await sound(`grant-login-${size}`);
    await pasted.fill("GRANT right");
    await button("Log in").click();
    await page.getByRole("heading", { name: "You have come by this grant" }).waitFor();
    await sound(`grant-connection-${size}`);
    assert.equal(await page.locator("[name=secret]").isVisible(), false, "the key proves the engineer");
    assert.equal(await field("Copy files").isDisabled(), true);
    assert.equal(await field("Command line on the appliance").isChecked(), true);
    assert.equal(await field("Targets").inputValue(), fixtures.terms().scope.targets.join("\n"));
    assert.equal(await field("Terminate after").inputValue(), "90");
    await field("Address of the support server (RSS)").fill("rss.example.com");
    await field("Terminate after").fill("30");
    await button("Connect").click();
    await page.getByRole("heading", { name: "Support is open" }).waitFor();
    const asked = fake.requests.find((one) => one.route === "POST /bridge").body;
    assert.deepEqual([asked.minutes, asked.keys[0].line, "secret" in asked, "grant" in asked, asked.scope.files], [30, fixtures.terms().engineer, false, false, false]);
    await page.locator("main dd").getByText("signed by").waitFor();
    for (const name of PAGES.filter((one) => one !== "connection")) {
      await visit(page, name);
      const writes = page.locator("main button:not([data-look]):not([aria-disabled=true]), main input:not([data-look]):enabled, main textarea:enabled");
      if (["network", "certificates", "array", "audit", "notifications"].includes(name)) assert.equal(await writes.count(), 0, name);
    }
    await button("Stop support").click();
    await page.getByRole("status").getByText("Support is closed. Nobody can come in.").waitFor();
  });
}

test("an administrator pastes a grant, allows less than it does, and can do without it again", async () => {
  await enter();
  await page.getByText("I have a grant of the vendor").click();
  await field("Grant").fill("GRANT damaged");
  await button("Use this grant").click();
  await page.getByText("line 2, group 3").first().waitFor();
  assert.equal(await focused(), "grant");
  await field("Grant").fill("GRANT right");
  await button("Use this grant").click();
  await page.getByRole("heading", { name: "This grant counts" }).waitFor();
  assert.equal(await focused(), "This grant counts");
  await sound("grant-pasted");
  assert.equal(await field("Session name").inputValue(), "case 4711");
  // What was typed stays when the page is left, and the grant is in no storage.
  await visit(page, "health");
  await visit(page, "connection");
  await page.getByRole("heading", { name: "This grant counts" }).waitFor();
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify(sessionStorage)), /GRANT/);
  await button("Do without the grant").click();
  assert.equal(await page.locator("[name=secret]").isVisible(), true);
  assert.equal(await field("Copy files").isDisabled(), false);
  await field("Grant").fill("GRANT right");
  await button("Use this grant").click();
  await page.getByRole("heading", { name: "This grant counts" }).waitFor();
  await field("Targets").fill("node-2:443");
  await field("Address of the support server (RSS)").fill("rss.example.com");
  await button("Connect").click();
  await page.getByRole("heading", { name: "Support is open" }).waitFor();
  const asked = fake.requests.find((one) => one.route === "POST /bridge").body;
  assert.deepEqual([asked.grant, asked.scope.targets, "secret" in asked], ["GRANT right", ["node-2:443"], false]);
});

test("a built-in support key can be switched off and stays in sight", async () => {
  await enter();
  await visit(page, "array");
  const taken = field("Take the word of Vendor support 2026");
  await taken.uncheck();
  await button("Save the keys").click();
  await page.getByText("The support keys are saved.").first().waitFor();
  const asked = fake.requests.find((one) => one.route === "PUT /support-keys").body;
  assert.deepEqual(asked.off, [fixtures.supportKeys().keys[0].key]);
  await page.waitForFunction(() => document.querySelector("[name='off[0]']")?.checked === false);
});

test("an array that shows another certificate than before is an alarm, and wants the set-up code", async () => {
  fake.refuse = { "POST /session": [409, "array-certificate", "The array shows another certificate than before.", "Do not log in unless it was replaced on purpose.", { shown: fixtures.certificate() }] };
  await start();
  assert.equal(await field("Set-up code").isVisible(), false);
  await field("User").fill("anna");
  await field("Password").fill("correct");
  await button("Log in").click();
  await page.getByRole("alert").getByText("The array shows another certificate than before.").waitFor();
  await page.getByText("Only if the array’s certificate was replaced on purpose.").waitFor();
  assert.equal(await field("Address of the array").inputValue(), fake.array.host);
  assert.deepEqual(await axe(page), []);
});

test("a wrong password is told at its field, and the user stays typed in", async () => {
  await start();
  await field("User").fill("anna");
  await field("Password").fill("wrong");
  await button("Log in").click();
  await page.locator("[aria-invalid]").waitFor();
  assert.equal(await focused(), "password");
  assert.equal(await field("User").inputValue(), "anna");
});

test("a viewer sees everything, can change nothing, and is told why", async () => {
  fake.role = "viewer";
  fake.bridge = fixtures.open(session, "anna");
  await enter();
  assert.equal(await button("Stop support").first().isEnabled(), false);
  for (const name of ["connection", "network", "certificates", "array", "audit", "notifications"]) {
    await visit(page, name);
    await page.getByText("You are logged in as a viewer").filter({ visible: true }).first().waitFor();
    assert.deepEqual(await axe(page), [], name);
    const live = await page.evaluate(() => [...document.querySelectorAll("main button:not([data-look]), main input:not([data-look]), main select:not([data-look]), main textarea")].filter((one) => one.checkVisibility() && !one.disabled && one.getAttribute("aria-disabled") !== "true" && !one.textContent.startsWith("Copy")).map((one) => one.outerHTML));
    assert.deepEqual(live, [], name);
  }
  await shot(page, "viewer");
  assert.deepEqual(fake.requests.filter((one) => !one.route.startsWith("GET") && one.route !== "POST /session"), []);
});

test("text of others stays text, in its own direction, and long names do not scroll sideways", async () => {
  const evil = "<img src=x onerror=alert(1)>";
  fake.bridge = { ...fixtures.open({ ...session, name: evil, reason: fixtures.ARABIC }, fixtures.LONG), visitors: [visitor(fixtures.LONG)] };
  await enter({ viewport: NARROW });
  await page.getByText(evil).waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  assert.equal(await page.locator("bdi", { hasText: fixtures.ARABIC }).evaluate((one) => getComputedStyle(one).direction), "rtl");
  assert.equal(await overflow(page), 0);
  await page.evaluate(() => { document.documentElement.dir = "rtl"; });
  assert.equal(await overflow(page), 0);
  await shot(page, "right-to-left");
  await visit(page, "logs");
  await page.getByText("<b>that is not markup</b>").waitFor();
});

test("the owner sees an engineer's terminals as they are, and pauses him, speaks to him, judges his lines and ends him", async () => {
  await enter();
  const proposed = { ...visitor(fixtures.LONG), connection: "2", supervised: { watchers: ["anna"], hold: null, proposal: { number: 3, line: "restart <all> && true", seconds: 2 } } };
  fake.setBridge({ ...fixtures.open(session, "203.0.113.1"), visitors: [visitor(fixtures.ARABIC), proposed] });
  await visit(page, "live");
  const cards = page.locator("main section.sheet");
  const first = cards.filter({ hasText: fixtures.ARABIC });
  const second = cards.filter({ hasText: "NOT RECORDED" });
  await first.getByRole("button", { name: /Terminal 1/ }).click();
  const row = first.locator(".cells").nth(1);
  await row.filter({ hasText: "<b>not markup</b> & 終わり done" }).waitFor();
  assert.equal(await first.locator(".cells b").count(), 0);
  assert.equal(await first.locator(".cells").count(), 24);
  // Six columns are six columns, whatever the font makes of three wide characters.
  const width = await row.locator("span").nth(1).evaluate((span) => span.getBoundingClientRect().width / (span.previousSibling.getBoundingClientRect().width / 20));
  assert.ok(Math.abs(width - 6) < 0.1, String(width));
  const heard = (connection, want) => fake.supervised.some(([to, body]) => to === connection && JSON.stringify(body) === JSON.stringify(want));
  const until = async (is) => { for (let turn = 0; !is(); turn += 1) { assert.ok(turn < 100, JSON.stringify(fake.supervised)); await page.waitForTimeout(100); } };
  await until(() => heard("1", { want: "watch" }) && heard("2", { want: "watch" }));
  await first.getByRole("button", { name: "Pause" }).click();
  await until(() => heard("1", { want: "pause" }));
  await first.getByLabel("Message to the engineer’s screen").fill("Please wait");
  await page.keyboard.press("Enter");
  await until(() => heard("1", { want: "message", text: "Please wait" }));
  await second.getByLabel("Proposed line").filter({ hasText: "restart <all> && true" }).waitFor();
  await second.getByRole("button", { name: "Let it run" }).click();
  await until(() => heard("2", { want: "judge", number: 3, approved: true }));
  await first.getByRole("button", { name: "End this connection" }).click();
  await until(() => heard("1", { want: "end" }));
  await visit(page, "logs");
  await until(() => heard("1", { want: "leave" }));
});

test("the skip link, the menu and the dialogs work by keyboard, and nothing holds the focus", async () => {
  await enter();
  await visit(page, "health");
  await page.evaluate(() => document.activeElement.blur());
  await tabTo(page, page.getByRole("link", { name: "Skip to the content" }));
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "Health");
  await tabTo(page, page.locator(".menu > summary"));
  await page.keyboard.press("Enter");
  await press(page, "Restart");
  await page.getByRole("dialog", { name: "Restart the appliance?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.waitForFunction(() => document.activeElement.matches(".menu > summary"));
  assert.deepEqual(fake.requests.filter((one) => one.route === "POST /power"), []);
});

test("the log is filtered and followed", async () => {
  await enter();
  await visit(page, "logs");
  await field("Shows only lines with").fill("line 7:");
  await page.getByText("1 of 60 lines.").waitFor();
  await field("Shows only lines with").fill("");
  await field("Not less than").selectOption("error");
  await page.getByText("10 of 60 lines.").waitFor();
  fake.lines.push({ number: 61, milliseconds: Date.now(), source: "session", level: "error", text: "The newest." });
  await page.getByText("11 of 61 lines.").waitFor();
});

test("the audit is filtered, read on, verified and taken away as the filter shows it", async () => {
  await enter({ viewport: NARROW });
  await visit(page, "audit");
  await page.getByText("50 events, the newest first.").waitFor();
  assert.equal(await page.locator("main b").count(), 0, "what others wrote is no markup");
  await page.getByText("Details of event 120").click();
  await page.locator("dd", { hasText: "<b>that is not markup</b>" }).waitFor();
  await field("Not less than").selectOption("warning");
  await field("What").selectOption({ label: "Logins" });
  await typeInto(page, "With these words", "eve");
  await page.keyboard.press("Enter");
  await page.getByText("39 events, the newest first: these are all.").waitFor();
  const asked = new URLSearchParams(fake.queries.filter((one) => one.startsWith("/api/v1/audit?")).at(-1).split("?")[1]);
  assert.deepEqual([asked.get("text"), asked.get("severity"), asked.get("codes"), asked.has("who")], ["eve", "warning", "LOGIN,LOGIN_REFUSED,LOGOUT", false]);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  assert.equal(await file.failure(), null);
  assert.match(fake.downloads.at(-1), /export\?text=eve&codes=LOGIN%2CLOGIN_REFUSED%2CLOGOUT&severity=warning&format=csv$/);
  // What was typed stays when the page is left.
  await visit(page, "health");
  await visit(page, "audit");
  assert.equal(await field("With these words").inputValue(), "eve");
  await press(page, "Show everything");
  await page.getByText("50 events, the newest first.").waitFor();
  await press(page, "Show earlier ones");
  await page.getByText("100 events, the newest first.").waitFor();
  assert.equal(await focused(), "Details of event 70", "the first of those that came has the focus");
  await press(page, "Verify now");
  await page.getByText("Something is wrong").waitFor();
  await page.getByText("segment 2: line 7 was changed <b>").waitFor();
  await sound("audit-verified");
});

test("who is told is set by keyboard, errors land on their fields, and passwords stay out of the storage", async () => {
  await enter();
  await visit(page, "notifications");
  await page.getByText("refuses the password.").waitFor();
  await tabTo(page, field("Send events to a syslog server"));
  await page.keyboard.press("Space");
  await field("Recipients").fill("anna@example.com\nnobody");
  await field("Password at the mail server").fill("typed-secret");
  await press(page, "Save");
  await page.locator("[aria-invalid]").first().waitFor();
  assert.equal(await focused(), "syslog.server");
  assert.match(await page.locator("[name='mail.to']").evaluate((one) => document.getElementById(one.getAttribute("aria-describedby").split(" ").at(-1)).textContent), /^Line 2: This is no mail address/);
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify(sessionStorage)), /typed-secret/);
  await visit(page, "health");
  await visit(page, "notifications");
  assert.equal(await field("Send events to a syslog server").isChecked(), true, "what was typed stays");
  assert.equal(await field("Password at the mail server").inputValue(), "typed-secret");
  await field("Syslog server").fill("log.example.com");
  await field("Recipients").fill("anna@example.com");
  await press(page, "Save");
  await page.getByRole("status").getByText("It is saved").waitFor();
  const asked = fake.requests.filter((one) => one.route === "PUT /notifications").at(-1).body;
  assert.deepEqual([asked.syslog.server, asked.syslog.facility, asked.mail.to, asked.mail.password, asked.array.password], ["log.example.com", 13, ["anna@example.com"], "typed-secret", ""]);
  assert.equal(await field("Password at the mail server").inputValue(), "", "a password is shown to nobody");
  await field("To whom (empty: to the recipients)").fill("berta@example.com");
  await press(page, "Test Configuration: Mail");
  await page.getByText("The test has failed; the first failed step says what to do.").waitFor();
  assert.deepEqual(fake.requests.find((one) => one.route === "POST /notifications/test").body, { receiver: "mail", to: "berta@example.com" });
  await sound("notifications-tested");
});

test("what the support server keeps is listed and downloaded by keyboard while the bridge is lowered, and else it is said why not", async () => {
  await enter();
  await visit(page, "recordings");
  const there = page.getByRole("region", { name: "At the support server" });
  await there.getByText("the bridge is raised").waitFor();
  assert.equal(fake.requests.some((one) => one.route === "GET /recordings/server"), false, "nobody is asked");
  const bridge = fixtures.open(session, "anna");
  fake.setBridge({ ...bridge, link: { ...bridge.link, state: "waiting", system: null, takes_recordings: null, why: "The name is <b>not</b> known.", remedy: "Ask the network’s administrator." } });
  await there.getByText("The name is <b>not</b> known.").waitFor();
  fake.setBridge(bridge);
  await there.getByText("that is not markup").waitFor();
  assert.equal(await there.getByRole("row").count(), 4, "a head and three");
  await there.getByText("Signed by a key that the server does not accept").waitFor();
  await sound("recordings-at-server");
  await press(page, "Show earlier ones");
  await there.getByText("Not known yet").waitFor();
  assert.equal(await there.getByRole("row").count(), 5);
  const link = there.getByRole("link", { name: /^Download the recording of .* from the support server$/ }).nth(1);
  await tabTo(page, link);
  const [file] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  assert.equal(await file.failure(), null);
  assert.match(fake.downloads.at(-1), /^\/api\/v1\/recordings\/server\/20261126T024500Z-3fa9c01d\.tar$/);
  fake.unable = true;
  await press(page, "Ask again");
  await there.getByText("This support server gives no recordings back.").waitFor();
  fake.setBridge(fixtures.closed());
  await there.getByText("the bridge is raised").waitFor();
});

test("recordings are encrypted to a key by keyboard alone, a private key is refused, and none that is encrypted is offered to be played", async () => {
  await enter();
  await visit(page, "recordings");
  const there = page.getByRole("region", { name: "Encryption of recordings" });
  await there.getByText("Recordings can be read by whoever has them.").waitFor();
  await there.getByText("Encrypt recordings to a key of your own").click();
  await typeInto(page, "Public key", "AGE-SECRET-KEY-1QQQ");
  await page.keyboard.press("Enter");
  await there.getByText("This is a private key.").first().waitFor();
  assert.equal(await there.getByLabel("Public key").getAttribute("aria-invalid"), "true");
  await there.getByLabel("Public key").fill("");
  await typeInto(page, "Public key", fixtures.RECIPIENT);
  await sound("recordings-encrypt");
  await page.keyboard.press("Enter");
  await there.getByText("Recordings that begin now are encrypted to").waitFor();
  assert.equal(fake.recipient, fixtures.RECIPIENT);
  await there.getByText("Change the key").click();
  await press(page, "Encrypt no more");
  await there.getByText("Recordings can be read by whoever has them.").waitFor();
  assert.equal(fake.recipient, null);
  // Of those in the list, one is encrypted, one runs, and two can be played.
  const list = page.getByRole("region", { name: "Recorded connections" });
  await list.getByText("Encrypted", { exact: true }).waitFor();
  assert.equal(await list.getByRole("link", { name: /^Play/ }).count(), 2);
  assert.equal(await list.getByRole("link", { name: /^Download/ }).count(), 4);
  await page.evaluate(() => { location.hash = "#/recordings/20261127T044500Z-3fa9c01d"; });
  await page.getByText("only who has the private key can see what happened").waitFor();
  await sound("recording-encrypted");
});

test("a recording is played, sought in, searched, and passes over what is idle, by keyboard alone", async () => {
  await enter();
  await visit(page, "recordings");
  await page.getByRole("link", { name: /^Play the recording of/ }).first().click();
  await page.getByRole("heading", { name: "Recording", exact: true }).waitFor();
  const row = (at) => page.locator(".cells").nth(at);
  const slider = page.getByLabel("Time in the recording");
  await row(0).filter({ hasText: "sa>" }).waitFor();
  assert.equal(await row(0).textContent(), "sa> ");
  assert.equal(await slider.getAttribute("aria-valuetext"), "0:00 of 1:30");
  await press(page, "Play", "Space");
  await row(1).filter({ hasText: "<b>not markup</b> & 終わり" }).waitFor();
  assert.equal(await page.locator(".cells b").count(), 0);
  // A minute in which nothing happens is passed over.
  await row(2).filter({ hasText: "after a long while" }).waitFor({ timeout: 5000 });
  await button("Play").waitFor();
  await tabTo(page, slider);
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.querySelectorAll(".cells")[0].textContent === "" && document.querySelector("[type=range]").value === "0");
  await typeInto(page, "Text on the screen", "while");
  await page.keyboard.press("Enter");
  await page.getByText("2 places.").waitFor();
  await press(page, "1:00 after a long while <b>x</b>");
  await row(2).filter({ hasText: "after a long while" }).waitFor();
  assert.equal(await slider.getAttribute("aria-valuetext"), "1:00 of 1:30");
  await press(page, "0:00 Terminal 1 is opened");
  await page.waitForFunction(() => document.querySelectorAll(".cells")[0].textContent === "sa> ");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download this terminal as asciicast" }).click()]);
  assert.equal(await file.failure(), null);
  await sound("player");
  await page.evaluate(() => { location.hash = "#/recordings/nothing"; });
  await page.getByText("There is no GET /recordings/nothing/events.").waitFor();
});
