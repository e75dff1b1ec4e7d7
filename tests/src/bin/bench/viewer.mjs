// A browser that looks on while an engineer types, and as many other viewers as are wanted, which ask as the page does. Settings come in the
// environment: BASE, NAME, PASSWORD, CODE, HOST, FINGERPRINT, MODULES. The file ORDERS holds the number of other viewers, or `end`. Lines out:
// `seen MS LINE`, what stands behind the prompt on the page Live since then, by the clock of the day; `asked VIEWERS ANSWERS MS` once a
// second, with the mean of what they waited; `ready`.

import { readFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { pathToFileURL } from "node:url";

const { BASE, NAME, PASSWORD, CODE, HOST, FINGERPRINT, MODULES, ORDERS } = process.env;
const { chromium } = (await import(pathToFileURL(`${MODULES}/playwright-core/index.js`).href)).default;
const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const context = await browser.newContext({ baseURL: BASE, ignoreHTTPSErrors: true });
const page = await context.newPage();
page.setDefaultTimeout(120_000);
await page.exposeFunction("seen", (at, line) => say("seen", at, line));
await page.goto("/");
await page.evaluate(async ({ user, password, setup }) => {
  const { csrf } = await (await fetch("/api/v1/session")).json();
  const answer = await fetch("/api/v1/session", { method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf }, body: JSON.stringify({ user, password, setup }) });
  if (!answer.ok) throw new Error(await answer.text());
}, { user: NAME, password: PASSWORD, setup: { code: CODE, host: HOST, fingerprint: FINGERPRINT } });
await page.goto("/#/live");
await page.reload();
await page.locator(".cells").first().waitFor();
await page.evaluate(() => {
  let last = "";
  const look = () => {
    const rows = [...document.querySelectorAll(".cells")].map((row) => row.textContent).filter((text) => text.includes("> "));
    const line = (rows.at(-1) || "").split("> ").at(-1).trim();
    if (line !== last) { last = line; globalThis.seen(Date.now(), line || "-"); }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  look();
});
say("ready");

// The others: each with a connection of its own, in the same session.
const cookie = (await context.cookies()).map((one) => `${one.name}=${one.value}`).join("; ");
const get = (agent, path) => new Promise((resolve, reject) => {
  const asked = request(`${BASE}/api/v1${path}`, { agent, rejectUnauthorized: false, headers: { cookie } }, (answer) => {
    let text = "";
    answer.on("data", (part) => { text += part; });
    answer.on("end", () => { try { resolve(JSON.parse(text)); } catch (error) { reject(error); } });
    answer.on("error", reject);
  });
  asked.on("error", reject);
  asked.end();
});
let [wanted, answers, waited] = [0, 0, 0];
const viewers = [];
async function view(number) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { live } = await get(agent, "/live");
  const [{ id, channels: [{ channel }] }] = live;
  let revision = 0;
  while (number < wanted) {
    const began = performance.now();
    try {
      const screen = await get(agent, `/live/${id}?channel=${channel}&after=${revision}`);
      revision = screen.revision;
      answers += 1;
      waited += performance.now() - began;
    } catch (error) { say("lost", String(error.message).replaceAll("\n", " ")); }
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
  agent.destroy();
  viewers[number] = null;
}
setInterval(() => {
  say("asked", wanted, answers, answers ? Math.round(waited / answers) : 0);
  [answers, waited] = [0, 0];
}, 1000);
for (;;) {
  const order = (await readFile(ORDERS, "utf8").catch(() => "0")).trim();
  if (order === "end") break;
  wanted = Number(order);
  for (let number = 0; number < wanted; number += 1) viewers[number] ||= view(number).catch((error) => { say("lost", error.message); viewers[number] = null; });
  await new Promise((resolve) => { setTimeout(resolve, 200); });
}
await browser.close();
process.exit(0);
