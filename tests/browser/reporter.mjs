// Prints a run as the project's other tests do: a line for each test, what failed in full, and a line that tests/run adds up.

import { inspect } from "node:util";

export default async function* report(events) {
  let [passed, failed, ignored] = [0, 0, 0];
  const faults = [];
  for await (const { type, data } of events) {
    // A file is a test too, with those in it below.
    const own = data?.details?.type !== "suite" && !data?.name?.endsWith(".mjs");
    if (type === "test:stdout") yield data.message;
    if (type === "test:pass" && own) {
      if (data.skip !== undefined) ignored += 1;
      else {
        passed += 1;
        yield `test ${data.name} ... ok (${Math.round(data.details.duration_ms)} ms)\n`;
      }
    }
    if (type === "test:fail") {
      failed += 1;
      faults.push(`---- ${data.name}\n${inspect(data.details.error?.cause ?? data.details.error)}\n`);
      yield `test ${data.name} ... FAILED\n`;
    }
  }
  yield `\n${faults.join("\n")}\ntest result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed; ${ignored} ignored;\n`;
}
