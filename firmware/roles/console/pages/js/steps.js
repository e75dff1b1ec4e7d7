// Test Connection: each step as it happens, with what to do about one that failed.

import { fill, h, result, say, theirs } from "./dom.js";
import * as live from "./live.js";

/** A place for the steps, and how to begin. It asks by itself until the test is over, in case the stream is slow. */
export function testSteps() {
  const list = h("ol.steps");
  const aloud = h("p.unseen", { "aria-live": "polite" });
  const word = h("p.hint");
  const element = h("section.sheet.test", { hidden: true, "aria-labelledby": "test-title" }, h("h2", { id: "test-title", tabindex: "-1" }, "Test of the connection"), word, list, aloud);
  let began = 0;
  let timer = 0;

  function draw(test) {
    if (!test || !test.steps?.length) return;
    element.hidden = false;
    fill(list, test.steps.map((step) => h(`li.${step.result}`, {}, h("div.step", {}, result(step.result), h("strong", {}, theirs(step.title)),
      step.result !== "running" && step.result !== "skip" && h("span.hint", {}, `${step.milliseconds} ms`)),
    step.detail && h("p", {}, theirs(step.detail)), step.remedy && h("p.remedy", {}, h("strong", {}, "What to do: "), theirs(step.remedy)))));
    const failed = test.steps.find((step) => step.result === "fail");
    const last = test.steps[test.steps.length - 1];
    say(word, !test.over ? "The test is running …" : failed ? "The test has failed; the first failed step says what to do." : "Every step has passed: support can be opened.");
    say(aloud, test.over ? word.textContent : `${last.title}: ${last.result}`);
    if (test.over) clearTimeout(timer);
  }
  const off = live.watch("test", (test) => { if (began) draw(test); });
  async function follow() {
    try {
      const test = await live.ask("test");
      if (test.over) return;
    } catch { /* the banner says so */ }
    timer = setTimeout(follow, 1000);
  }
  return {
    element,
    begin() {
      began = Date.now();
      element.hidden = false;
      fill(list);
      say(word, "The test begins …");
      clearTimeout(timer);
      follow();
      element.scrollIntoView({ block: "nearest" });
    },
    hide() { began = 0; element.hidden = true; },
    stop() { off(); clearTimeout(timer); },
  };
}
