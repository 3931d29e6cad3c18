import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "./stage";
import { edge, graph, node } from "./testing";
import type { Graph, Operation } from "./types";

function stage(start: Graph): { stage: Stage; sent: { id: string; operation: Operation }[] } {
  const sent: { id: string; operation: Operation }[] = [];
  const made = new Stage((name, detail) => {
    if (name === "operation") sent.push(detail as (typeof sent)[number]);
    return true;
  });
  made.update(start);
  return { stage: made, sent };
}

const two = () => graph([node("a"), node("b", "x -> y", { x: 300 })], "a.y -> b.x");
const move = (id: string, x: number): Operation => ({ op: "move_nodes", positions: { [id]: [x, 0] } });

test("an edit is shown and sent at once", () => {
  const { stage: it, sent } = stage(two());
  it.edit(move("a", 40));
  assert.equal(it.nodes.get()[0]?.position.x, 40);
  assert.deepEqual(sent.map(({ operation }) => operation), [move("a", 40)]);
});

test("an answer to the first of two edits keeps the second on top", () => {
  const { stage: it, sent } = stage(two());
  it.edit(move("a", 40));
  it.edit({ op: "disconnect", ...edge("a.y -> b.x") });
  it.update(two(), sent[0]?.id);
  assert.equal(it.edges.get().length, 0);
  it.update(two(), sent[1]?.id);
  assert.equal(it.edges.get().length, 1);
});

test("a refused edit is taken back, and only that one", () => {
  const { stage: it, sent } = stage(two());
  it.edit(move("a", 40));
  it.edit(move("b", 500));
  it.refuse(sent[0]?.id ?? "");
  assert.deepEqual(it.nodes.get().map(({ position }) => position.x), [0, 500]);
});

test("a read-only canvas sends nothing", () => {
  const { stage: it, sent } = stage({ ...two(), readonly: true });
  it.edit(move("a", 40));
  assert.equal(sent.length, 0);
});

test("what has not changed stays the same object", () => {
  const { stage: it } = stage(two());
  const [a, b] = it.nodes.get();
  it.update(graph([node("a"), node("b", "x -> y", { x: 300, summary: "fast" })], "a.y -> b.x"));
  assert.equal(it.nodes.get()[0], a);
  assert.notEqual(it.nodes.get()[1], b);
});

test("a node that is being dragged stays under the pointer", () => {
  const { stage: it } = stage(two());
  it.nodesChanged([{ id: "a", type: "position", position: { x: 99, y: 9 }, dragging: true }]);
  it.update(two());
  assert.deepEqual(it.nodes.get()[0]?.position, { x: 99, y: 9 });
});

test("the selection outlives an answer, but not its nodes", () => {
  const { stage: it } = stage(two());
  it.select(["a", "b"]);
  it.update(graph([node("b")]));
  assert.deepEqual(it.selection.nodes, ["b"]);
});
