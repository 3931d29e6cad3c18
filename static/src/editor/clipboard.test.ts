import { editorNode } from "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { edge } from "../canvas/testing";
import { clipOf, clipText, pasting, readClip } from "./clipboard";
import type { EditorGraph, EditorNode, NewNode, Operation } from "./types";

function graph(nodes: EditorNode[], ...edges: string[]): EditorGraph {
  return { nodes, edges: edges.map(edge), readonly: false };
}

function parts(pasted: { operation: Operation } | null): Operation[] {
  return pasted?.operation.op === "batch" ? pasted.operation.operations : [];
}

const abc = graph(["a", "b", "c"].map((id, at) => editorNode(id, { x: at * 100 })), "a.y -> b.x", "b.y -> c.x");

test("a copy has ids of its own, and the edges between what was copied", () => {
  const made = parts(pasting(clipOf(abc, ["a", "b"]), abc, { dx: 40, dy: 40 }));
  assert.deepEqual(made.map((part) => part.op), ["add_node", "add_node", "connect"]);
  const [first, , joined] = made as [NewNode, NewNode, Operation];
  assert.deepEqual([first.node, first.position], ["a_2", [40, 40]]);
  assert.deepEqual({ ...joined }, { op: "connect", ...edge("a_2.y -> b_2.x") });
});

test("a container takes along what lies in it", () => {
  const boxed = graph([editorNode("box", { container: true }), editorNode("in", { parent: "box" })]);
  const [box, inner] = parts(pasting(clipOf(boxed, ["box"]), boxed, {})) as [NewNode, NewNode];
  assert.deepEqual([box.node, inner.node, inner.parent], ["box_2", "in_2", "box_2"]);
});

test("what leaves its container goes where it is put", () => {
  const boxed = graph([editorNode("box", { container: true }), editorNode("in", { parent: "box" })]);
  const clip = clipOf(boxed, ["in"]);
  const [free] = parts(pasting(clip, boxed, { at: { x: 7, y: 8 } })) as [NewNode];
  assert.deepEqual([free.parent, free.position], [null, [7, 8]]);
  const [held] = parts(pasting(clip, boxed, { parent: "box" })) as [NewNode];
  assert.equal(held.parent, "box");
});

test("a copy goes through the clipboard as text", () => {
  const clip = clipOf(abc, ["a", "b"]);
  assert.deepEqual(readClip(clipText(clip)), clip);
});

test("a whole pipeline file can be pasted", () => {
  const file = {
    format: 1,
    nodes: { inner: { kind: "lm", parent: "box" }, box: { kind: "map", version: 2, label: "Each" } },
    edges: { "inner.prompt": ["box.search.passages"] },
    layout: { box: [10, 20] },
  };
  const clip = readClip(JSON.stringify(file));
  assert.deepEqual(clip?.pieces.map(({ node }) => node.node), ["box", "inner"]);
  assert.deepEqual(clip?.edges, [edge("box.search.passages -> inner.prompt")]);
});

test("anything else is no copy", () => {
  for (const text of ["", "hello", "{}", "[]", "null", '{"dspex": {}}', '{"format": 2, "nodes": {}}']) {
    assert.equal(readClip(text), null, text);
  }
  assert.equal(pasting({ pieces: [], edges: [] }, abc, {}), null);
});
