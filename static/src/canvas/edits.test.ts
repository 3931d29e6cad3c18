import assert from "node:assert/strict";
import { test } from "node:test";
import { moved, moving, removing } from "./edits";
import { applied, Model } from "./model";
import { chain, edge, model, node } from "./testing";

const frame = () =>
  model([
    node("map", "items -> out", { container: true, x: 0, y: 0 }),
    node("in", "-> y", { parent: "map", x: 20, y: 120 }),
    node("out", "x ->", { parent: "map", x: 320, y: 120 }),
    node("after", "x ->", { x: 800 }),
  ]);

test("all nodes of one drag come in one operation", () => {
  const places = new Map([
    ["a", { x: 10, y: 20 }],
    ["b", { x: 310, y: 20 }],
  ]);
  const positions = { a: [10, 20], b: [310, 20] };
  assert.deepEqual(moved(chain(), places), { op: "move_nodes", positions });
});

test("a drag that ends where it began is no operation", () => {
  assert.equal(moved(chain(), new Map([["a", { x: 0, y: 0 }]])), null);
});

test("a container takes along what lies in it", () => {
  const operation = moving(frame(), ["map"], 100, 40);
  assert.deepEqual(operation, {
    op: "move_nodes",
    positions: { map: [100, 40], in: [120, 160], out: [420, 160] },
  });
});

test("a removed node takes its edges along; other edges are named first", () => {
  const operation = removing(chain(), { nodes: ["a"], edges: [edge("a.y -> b.x"), edge("b.y -> c.x")] });
  assert.deepEqual(operation, {
    op: "batch",
    operations: [
      { op: "disconnect", ...edge("b.y -> c.x") },
      { op: "remove_node", node: "a" },
    ],
  });
});

test("a container and a node in it are removed once", () => {
  const operation = removing(frame(), { nodes: ["map", "in"], edges: [] });
  assert.deepEqual(operation, { op: "remove_node", node: "map" });
});

test("nothing selected is nothing to remove", () => {
  assert.equal(removing(chain(), { nodes: ["gone"], edges: [] }), null);
});

test("an operation shows at once what the server will answer", () => {
  const { graph } = chain();
  const after = applied(graph, {
    op: "batch",
    operations: [
      { op: "disconnect", ...edge("a.y -> b.x") },
      { op: "connect", ...edge("a.y -> c.x") },
      { op: "move_nodes", positions: { b: [7, 8] } },
      { op: "remove_node", node: "c" },
    ],
  });
  assert.deepEqual(after.edges, []);
  assert.deepEqual(after.nodes.map(({ id, x, y }) => [id, x, y]), [
    ["a", 0, 0],
    ["b", 7, 8],
  ]);
});

test("removing a container removes its body, however deep", () => {
  const inner = node("inner", "->", { parent: "map", container: true });
  const leaf = node("leaf", "->", { parent: "inner" });
  const before = frame().graph;
  const graph = { ...before, nodes: [leaf, ...before.nodes, inner] };
  const after = applied(graph, { op: "remove_node", node: "map" });
  assert.deepEqual([...new Model(after).nodes.keys()], ["after"]);
});
