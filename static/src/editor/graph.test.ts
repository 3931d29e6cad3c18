import { added, editorNode, named } from "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { elapsed } from "../canvas/figures";
import { edge } from "../canvas/testing";
import { matching } from "./commandlist";
import { caughtUp, freeId, freePlace } from "./graph";
import { keysOf } from "./inspector";
import type { Caught, EditorGraph, KindView, Operation } from "./types";

const view: KindView = { ...editorNode("new"), kind_version: 1, description: "", offered: true, body: [] };
const kinds = { predict: view };
const empty: EditorGraph = { nodes: [], edges: [], readonly: false };

function caught(revision: number, operations: Operation[], parts: Partial<Caught> = {}): Caught {
  const first = revision - operations.length + 1;
  const told = operations.map((operation, at) => ({ id: `${at}`, revision: first + at, operation, author_id: 2 }));
  return { revision, name: "", operations: told, nodes: [], problems: [], ...parts };
}

test("what others did is taken in order, and the server's pictures have the last word", () => {
  const join: Operation = { op: "connect", ...edge("a.y -> b.x") };
  const b = editorNode("b", { title: "As the server draws it" });
  const after = caughtUp(empty, caught(3, [added("a"), added("b"), join], { nodes: [b] }), 0, kinds);
  assert.deepEqual(after.nodes.map((node) => node.title), ["Predict", "As the server draws it"]);
  assert.deepEqual(after.edges, [edge("a.y -> b.x")]);
});

test("what the page has already is not done again", () => {
  const moved = (x: number): Operation => ({ op: "move_nodes", positions: { a: [x, 0] } });
  const now = { ...empty, nodes: [editorNode("a", { x: 9 })] };
  const after = caughtUp(now, caught(2, [moved(1), { op: "describe", name: "New" }]), 1, kinds);
  assert.equal(after.nodes[0]?.x, 9);
});

test("a field that is set is there at once, and without a value it is gone", () => {
  const now = { ...empty, nodes: [editorNode("a", { config: { k: 1, other: 2 } }), editorNode("b")] };
  const set: Operation[] = [
    { op: "set_config", node: "a", field: "k" },
    { op: "set_policy", node: "a", field: "timeout", value: 9 },
  ];
  const [a, b] = caughtUp(now, caught(2, set), 0, kinds).nodes;
  assert.deepEqual([a?.config, a?.policy, b], [{ other: 2 }, { timeout: 9 }, now.nodes[1]]);
});

test("a removed node goes with what lies in it", () => {
  const boxed = { ...empty, nodes: [editorNode("box", { container: true }), editorNode("in", { parent: "box" })] };
  assert.deepEqual(caughtUp(boxed, caught(1, [{ op: "remove_node", node: "box" }]), 0, kinds).nodes, []);
});

test("a new node covers no other", () => {
  const size = { width: 200, height: 100 };
  const graph = { ...empty, nodes: [editorNode("a")] };
  const { x, y } = freePlace(graph, { x: 0, y: 0 }, size);
  assert.ok(Math.abs(x) >= 148 || Math.abs(y) >= 60);
});

test("nor into a container that holds others, however far apart they lie", () => {
  const inside = ["first", "last"].map((id, at) => editorNode(id, { parent: "map", x: 20 + 600 * at, y: 140 }));
  const graph = { ...empty, nodes: [editorNode("map", { container: true }), ...inside] };
  const { x, y } = freePlace(graph, { x: 350, y: 60 }, { width: 100, height: 60 });
  assert.ok(x + 100 <= 0 || x >= 620 || y + 60 <= 0 || y >= 140, `${x}, ${y}`);
});

test("ids are numbered when they are taken", () => {
  const taken = new Set(["map", "map_2"]);
  assert.deepEqual([freeId(taken, "map"), freeId(taken, "map_2"), freeId(taken, "lm")], ["map_3", "map_4", "lm"]);
});

test("an operation touches the fields of the form that is shown", () => {
  const set: Operation = { op: "set_config", node: "a", field: "k", value: 1 };
  const batch: Operation = { op: "batch", operations: [set, named("New", "b"), { op: "describe", name: "X" }] };
  assert.deepEqual(keysOf(batch, "a"), ["config/k"]);
  assert.deepEqual(keysOf(batch, "b"), ["label"]);
  assert.deepEqual(keysOf(batch, null), ["description"]);
});

test("a running clock keeps its width", () => {
  assert.deepEqual([0, 2.84, 59.9, 60, 754.9].map(elapsed), ["0.0 s", "2.8 s", "59.9 s", "1:00", "12:34"]);
});

test("commands are found by their words, and leave an empty list to places", () => {
  const commands = ["Tidy layout", "Fold the run panel", "Run"].map((title) => ({ title, keys: "", does() {} }));
  const found = (typed: string) => matching(commands, typed).map(({ title }) => title);
  assert.deepEqual(found("run"), ["Fold the run panel", "Run"]);
  assert.deepEqual(found(" layout TIDY "), ["Tidy layout"]);
  assert.deepEqual(found(" "), []);
});
