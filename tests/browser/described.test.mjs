// That the fake appliance answers what the console's own description of its API says: what the pages are shown is then no wish.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Ajv2020 as Ajv } from "ajv/dist/2020.js";
import { Fake } from "./fake.mjs";

const described = JSON.parse(await readFile(new URL("../../firmware/roles/console/src/api/openapi.json", import.meta.url), "utf8"));
const asked = new URLSearchParams({ at: "500", after: "0", text: "x" });

test("each call that looks is answered as it is described", () => {
  const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(described, "api");
  const fake = new Fake();
  fake.person = "anna";
  let count = 0;
  for (const [path, calls] of Object.entries(described.paths)) {
    if (!calls.get?.responses["200"]?.content?.["application/json"] || path.endsWith("openapi.json")) continue;
    const id = path.includes("/live/") ? "20261127T014500Z-3fa9c01d" : "20261127T024500Z-3fa9c01d";
    const [status, answer] = fake.route(`GET ${path.replace("/api/v1", "").replace("{id}", id)}`, {}, asked, { method: "GET", url: path, headers: {} });
    const check = ajv.compile({ $ref: `api#/paths/${encodeURI(path.replaceAll("/", "~1"))}/get/responses/200/content/application~1json/schema` });
    assert.equal(status, 200, path);
    assert.ok(check(JSON.parse(JSON.stringify(answer))), `${path}: ${ajv.errorsText(check.errors)}`);
    count += 1;
  }
  assert.ok(count > 20);
});
