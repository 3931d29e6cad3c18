import assert from "node:assert/strict";
import { test } from "node:test";
import { frameOf, portY, rowsOf, sizeOf } from "./measures";
import { readGraph } from "./model";
import { chain, graph, model, node } from "./testing";
import { following, neighbour } from "./walk";

test("nodes come in the order of flow, a container before its body", () => {
  const nodes = [
    node("end", "x ->"),
    node("in", "-> y", { parent: "map" }),
    node("map", "items -> out", { container: true }),
    node("start", "-> y"),
  ];
  const flow = model(nodes, "start.y -> map.items", "map.out -> end.x");
  assert.deepEqual(flow.order, ["start", "map", "in", "end"]);
});

test("nodes that wait for each other are still all there", () => {
  const circle = model([node("a"), node("b"), node("c")], "a.y -> b.x", "b.y -> a.x");
  assert.equal(circle.order.length, 3);
});

test("a long chain is no harder than a short one", () => {
  const nodes = Array.from({ length: 5_000 }, (_, at) => node(`n${at}`));
  const edges = nodes.slice(1).map((_, at) => `n${at}.y -> n${at + 1}.x`);
  assert.equal(model(nodes.reverse(), ...edges).order[0], "n0");
});

test("a parent that is missing, no container or the node's own body counts as none", () => {
  const nodes = [
    node("a", "->", { parent: "gone" }),
    node("b", "->", { parent: "a" }),
    node("c", "->", { parent: "d", container: true }),
    node("d", "->", { parent: "c", container: true }),
  ];
  const odd = model(nodes);
  assert.deepEqual(nodes.map(({ id }) => odd.parentOf(id)), [null, null, null, null]);
  assert.equal(odd.order.length, 4);
});

test("an edge to a port that is gone keeps that port in sight", () => {
  const lost = model([node("a"), node("b")], "a.y -> b.old");
  assert.deepEqual(lost.node("b")?.inputs.map(({ name, lost }) => [name, !!lost]), [
    ["x", false],
    ["old", true],
  ]);
});

test("an edge to a node that is gone is left out", () => {
  assert.equal(model([node("a")], "a.y -> gone.x").edges.length, 0);
});

test("ports lie where the look has them", () => {
  assert.deepEqual([portY(0), portY(1)], [74, 94]);
});

test("types give way to names where a row is too narrow for both", () => {
  const name = "a_rather_long_name";
  const [row] = rowsOf(node("a", `${name}: list[str] -> ${name}: list[str]`));
  assert.deepEqual([row?.inputType, row?.outputType], [false, false]);
  assert.equal(sizeOf(node("a", `${name} -> ${name}`, { title: "x".repeat(90) })).width, 272);
});

test("a frame reaches round its body, also to the left and above", () => {
  const frame = node("map", "items -> out", { container: true, x: 100, y: 100 });
  const rect = frameOf(frame, [{ x: 60, y: 90, width: 400, height: 100 }]);
  assert.ok(rect.x < 60 && rect.y + 60 < 90);
  assert.ok(rect.x + rect.width > 460 && rect.y + rect.height > 190);
});

test("the innermost container at a place is found", () => {
  const nodes = [
    node("outer", "->", { container: true }),
    node("inner", "->", { container: true, parent: "outer", x: 40, y: 100 }),
    node("leaf", "->", { parent: "inner", x: 60, y: 200 }),
  ];
  const nested = model(nodes);
  assert.equal(nested.containerAt(70, 210), "inner");
  assert.equal(nested.containerAt(-900, 0), null);
});

for (const [what, raw] of Object.entries({
  nothing: null,
  "no edges": { nodes: [] },
  "a repeated id": { nodes: [{ id: "a" }, { id: "a" }], edges: [] },
  "a node without id": { nodes: [{}], edges: [] },
})) {
  test(`a graph with ${what} is refused with words`, () => {
    assert.throws(() => readGraph(raw), /A graph has|Every node has/);
  });
}

test("what is left out of a node's JSON is filled in", () => {
  const [bare] = readGraph({ nodes: [{ id: "a", kind: "predict", x: NaN }], edges: [] }).nodes;
  assert.deepEqual([bare?.title, bare?.kindTitle, bare?.x, bare?.inputs], ["a", "predict", 0, []]);
});

test("arrows follow edges, else what lies that way", () => {
  const places = graph([
    node("a", "x -> y"),
    node("b", "x -> y", { x: 300 }),
    node("below", "x -> y", { y: 200 }),
  ]);
  const flow = model(places.nodes, "below.y -> b.x");
  assert.equal(neighbour(flow, "b", "left"), "below");
  assert.equal(neighbour(flow, "a", "right"), "b");
  assert.equal(neighbour(flow, "a", "down"), "below");
  assert.equal(neighbour(flow, "a", "left"), null);
});

test("Tab goes from first to last and then out", () => {
  const flow = chain();
  assert.deepEqual(
    [following(flow, null, 1), following(flow, "a", 1), following(flow, "c", 1), following(flow, null, -1)],
    ["a", "b", null, "c"],
  );
});
