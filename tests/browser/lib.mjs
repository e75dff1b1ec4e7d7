// What every test in a browser needs: the browser, pages at a size, flows by keyboard, axe, screenshots. It knows an address
// and nothing of what answers there, so that the same flows can be run against an appliance.

import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const SHOTS = fileURLToPath(new URL("../../target/browser/", import.meta.url));
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
export const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 360, height: 780 };
export const PAGES = ["connection", "live", "network", "certificates", "array", "recordings", "audit", "notifications", "logs", "health"];

/** Debian's Chromium. As root it has no sandbox to offer. */
export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

/** A fresh window without cookies. Whatever the page says on its console as an error is kept in `faults`. */
export async function open(browser, base, { viewport = WIDE, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, baseURL: base, ignoreHTTPSErrors: true, reducedMotion: "reduce", locale: "en-GB", permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => {
    // A refused call is an answer of the API; the browser notes each as an error.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.faults.push(message.text());
  });
  await page.goto("/");
  return page;
}

export async function logIn(page, user, password) {
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/** Opens one of the console's pages and waits until all of it is there. */
export async function visit(page, name) {
  await page.evaluate((hash) => { location.hash = hash; }, `#/${name}`);
  await page.waitForFunction((title) => document.querySelector("main h1")?.textContent.toLowerCase() === title, name);
  await page.waitForFunction(() => !document.querySelector("main .loading, main [aria-busy]"));
}

export async function axe(page) {
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.target.join(" ")} (${node.any.concat(node.all).map((check) => check.message).join("; ")})`).join(" | ")}`);
}

/** How many pixels the page is wider than its window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

export async function shot(page, name) {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true });
}

/** Presses Tab until what is asked for has the focus: fails when it cannot be reached by keyboard. */
export async function tabTo(page, locator, most = 120) {
  for (let presses = 0; presses < most; presses += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`${locator} cannot be reached with ${most} presses of Tab`);
}

/** As a person types who has no mouse. */
export async function typeInto(page, label, text) {
  const input = page.getByLabel(label, { exact: true });
  await tabTo(page, input);
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text);
}

export async function press(page, name, key = "Enter") {
  await tabTo(page, page.getByRole("button", { name, exact: true }).filter({ visible: true }).first());
  await page.keyboard.press(key);
}
