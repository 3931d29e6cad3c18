/** How far a container has come follows from what the run told, in whichever order its items end. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunEvent } from "./messages";
import { Progresses } from "./progress";

function event(type: string, step: string, data: Record<string, unknown> = {}): RunEvent {
  return { seq: 0, type, at: 0, step, attempt: 1, data };
}

const begins = (path: string, kind: string, times: number, steps: number) =>
  event("step_started", path, { kind, times, steps });
const failed = (path: string, index: number) => event("trace", path, { name: "item_failed", index });

function after(...events: RunEvent[]): Progresses {
  const progress = new Progresses();
  for (const each of events) progress.take(each);
  return progress;
}

const words = (progress: Progresses, path = "each") => progress.of(path)?.text;

test("an item is done when all of its steps have ended", () => {
  const half = [begins("each", "map", 10, 2), event("step_succeeded", "each[4]/ask")];
  assert.equal(words(after(...half)), "0 of 10");
  assert.equal(words(after(...half, event("step_skipped", "each[4]/sum"))), "1 of 10");
});

test("an item that failed is one that is done with, and is counted once", () => {
  const events = [
    begins("each", "map", 3, 1),
    event("step_failed", "each[1]/ask", { suspends: false }),
    failed("each", 1),
    event("step_succeeded", "each[0]/ask"),
  ];
  assert.deepEqual(after(...events).of("each"), { done: 2, total: 3, failed: 1, text: "2 of 3, 1 failed" });
});

test("an item whose last steps never began is done with as well", () => {
  assert.equal(words(after(begins("each", "map", 3, 2), failed("each", 2))), "1 of 3, 1 failed");
});

test("a resumed run keeps what was done, and counts again what is told again", () => {
  const before = [begins("each", "map", 3, 1), event("step_succeeded", "each[0]/ask"), failed("each", 1)];
  const resumed = after(...before, begins("each", "map", 3, 1), failed("each", 1));
  assert.equal(words(resumed), "2 of 3, 1 failed");
});

test("what was cut off is not done", () => {
  const events = [
    begins("each", "map", 3, 1),
    event("step_failed", "each[0]/ask", { suspends: true }),
    event("step_cancelled", "each[1]/ask", { seconds: 1 }),
    event("step_cancelled", "each[2]/ask", { failure: { code: "cancelled_by_user" } }),
  ];
  assert.equal(words(after(...events)), "1 of 3");
});

test("a step that begins again takes its item back", () => {
  const events = [begins("each", "map", 3, 1), event("step_succeeded", "each[0]/ask"), event("step_started", "each[0]/ask")];
  assert.equal(words(after(...events)), "0 of 3");
});

test("of a loop the round is told", () => {
  const events = [begins("each", "loop", 5, 1), event("step_started", "each[0]/ask"), event("step_started", "each[1]/ask")];
  assert.deepEqual(after(...events).of("each"), { done: 2, total: 5, failed: 0, text: "Round 2 of 5" });
});

test("a map in a map counts its own items, and its node those of all", () => {
  const progress = after(
    begins("outer", "map", 2, 1),
    begins("outer[0]/each", "map", 3, 1),
    begins("outer[1]/each", "map", 4, 1),
    event("step_succeeded", "outer[0]/each[2]/ask"),
    event("step_succeeded", "outer[1]/each[0]/ask"),
    event("step_succeeded", "outer[1]/each"),
  );
  assert.equal(words(progress, "outer[0]/each"), "1 of 3");
  assert.equal(words(progress, "outer"), "1 of 2");
  assert.equal(progress.ofNode("each")?.text, "2 of 7");
});

test("loops that go on side by side have no round together", () => {
  const progress = after(begins("outer[0]/each", "loop", 3, 1), begins("outer[1]/each", "loop", 3, 1));
  assert.equal(progress.ofNode("each"), null);
});

test("a run of before tells nothing, and nor do steps elsewhere", () => {
  const progress = after(event("step_started", "each", { kind: "map", inputs: {} }), event("step_succeeded", "each[0]/ask"));
  assert.equal(progress.of("each"), null);
  assert.equal(progress.take(event("step_started", "other")), "");
});
