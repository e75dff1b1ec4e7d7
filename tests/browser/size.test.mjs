// What the console's pages weigh, and of what they are made.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const PAGES = fileURLToPath(new URL("../../firmware/roles/console/pages/", import.meta.url));
const files = (await readdir(PAGES, { recursive: true })).filter((name) => /\.(html|css|js|svg)$/.test(name)).sort();

test("all pages together are at most 100 kB over the wire", async () => {
  let all = 0;
  for (const name of files) all += gzipSync(await readFile(PAGES + name), { level: 9 }).length;
  console.log(`${files.length} files, ${all} bytes as gzip`);
  assert.ok(files.length > 5);
  assert.ok(all <= 100_000, `${all} bytes`);
});

test("each module is short, says what it is for, loads nothing from elsewhere, and makes no markup of text", async () => {
  for (const name of files) {
    const text = await readFile(PAGES + name, "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|localStorage/, name);
    if (name.endsWith(".js")) {
      assert.ok(text.split("\n").length < 400, name);
      assert.match(text, /^\/\/ [A-Z].*\.\n\n/, name);
    }
    if (name.endsWith(".html")) assert.doesNotMatch(text, / style=|<script>| on[a-z]+=|https?:/, name);
  }
});

test("the first page names every module, so that they are fetched side by side", async () => {
  const index = await readFile(`${PAGES}index.html`, "utf8");
  const named = [...index.matchAll(/(?:modulepreload" href|module" src)="\/([^"]+)"/g)].map(([, name]) => name).sort();
  assert.deepEqual(named, files.filter((name) => name.endsWith(".js")));
});
