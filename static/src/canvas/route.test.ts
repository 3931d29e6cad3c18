import assert from "node:assert/strict";
import { test } from "node:test";
import { route } from "./route";

const reach = { sourceUp: 74, sourceDown: 62, targetUp: 74, targetDown: 62, stream: 0 };

test("an edge ahead is a curve, on one height a line", () => {
  const level = route({ sourceX: 0, sourceY: 50, targetX: 100, targetY: 50 }, reach, false);
  assert.equal(level.path, "M0 50L100 50");
  const down = route({ sourceX: 0, sourceY: 0, targetX: 100, targetY: 80 }, reach, false);
  assert.equal(down.path, "M0 0C50 0 50 80 100 80");
});

test("edges of one output run together before they part", () => {
  const { path, fork } = route({ sourceX: 0, sourceY: 0, targetX: 100, targetY: 80 }, reach, true);
  assert.deepEqual(fork, { x: 14, y: 0 });
  assert.ok(path.startsWith("M0 0H14C"));
});

test("an edge back leaves right, runs in the gutter and enters left", () => {
  const { path } = route({ sourceX: 500, sourceY: 74, targetX: 100, targetY: 374 }, reach, true);
  // Below the source's foot (74 + 62) by the gutter's 20.
  assert.equal(
    path,
    "M500 74H514Q526 74 526 86V144Q526 156 514 156H86Q74 156 74 168V362Q74 374 86 374H100",
  );
});

test("edges back of one output share their gutter, whichever row they go to", () => {
  const near = route({ sourceX: 500, sourceY: 74, targetX: 100, targetY: 374 }, reach, true);
  const far = route({ sourceX: 500, sourceY: 74, targetX: 100, targetY: 574 }, reach, true);
  assert.equal(near.path.split("H86")[0], far.path.split("H86")[0]);
});

test("where there is no room between two nodes, an edge goes round below both", () => {
  const { path } = route({ sourceX: 500, sourceY: 74, targetX: 480, targetY: 94 }, reach, false);
  assert.ok(path.includes("V164"), path);
});
