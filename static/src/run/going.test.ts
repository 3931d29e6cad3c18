import assert from "node:assert/strict";
import { test } from "node:test";
import { Going } from "./going";

test("a node runs as long as one of its items does", () => {
  const going = new Going();
  for (const item of [0, 1, 2]) going.begin("fetch", `each[${item}]/fetch`);
  going.begin("fetch", "each[1]/fetch"); // its next attempt
  assert.equal(going.end("fetch", "each[0]/fetch"), true);
  assert.equal(going.end("fetch", "each[2]/fetch"), true);
  assert.equal(going.end("fetch", "each[1]/fetch"), false);
});

test("a step that ended without having begun leaves its node as it is", () => {
  const going = new Going();
  assert.equal(going.end("answer", "answer"), false);
  going.begin("answer", "answer");
  assert.equal(going.end("answer", "answer"), false);
});
