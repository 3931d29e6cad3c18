import assert from "node:assert/strict";
import { test } from "node:test";
import { connecting } from "./edits";
import { Joining } from "./rules";
import { chain, edge, model, node, port } from "./testing";

function refusal(from: string, to: string, graph = chain()): string | null {
  return new Joining(graph, port(from)).refusal(port(to));
}

test("an output goes to a free input of a later node", () => {
  assert.equal(refusal("a.y>", ">c.x"), null);
});

test("an edge may be drawn from either end", () => {
  assert.equal(refusal(">c.x", "a.y>"), null);
});

test("two outputs, or two inputs, are refused", () => {
  assert.match(refusal("a.y>", "b.y>") ?? "", /not to another output/);
  assert.match(refusal(">a.x", ">b.x") ?? "", /not to another input/);
});

test("a circle is refused from both ends, and names the nodes", () => {
  assert.match(refusal("c.y>", ">a.x") ?? "", /c already waits for a/);
  assert.match(refusal(">a.x", "c.y>") ?? "", /c already waits for a/);
});

test("a node does not take its own output", () => {
  assert.match(refusal("a.y>", ">a.x") ?? "", /its own output/);
});

test("a type that does not fit is refused with both types", () => {
  const graph = model([node("a", "-> y: list[int]"), node("b", "x: bool ->")]);
  assert.match(refusal("a.y>", ">b.x", graph) ?? "", /gives list\[int\], but x takes bool/);
});

test("the border of a container is not crossed", () => {
  const map = node("map", "items ->", { container: true });
  const graph = model([node("a"), map, node("in", "x ->", { parent: "map" })]);
  assert.match(refusal("a.y>", ">in.x", graph) ?? "", /border of a container/);
});

test("the same edge is not drawn twice", () => {
  assert.match(refusal("a.y>", ">b.x") ?? "", /joined already/);
});

test("an occupied input gets the new edge in place of the old one", () => {
  const joining = new Joining(chain(), port("a.y>"));
  assert.deepEqual(connecting(joining, port(">c.x")), {
    op: "batch",
    operations: [
      { op: "disconnect", ...edge("b.y -> c.x") },
      { op: "connect", ...edge("a.y -> c.x"), order: 0 },
    ],
  });
});

test("an input that takes several edges keeps those it has", () => {
  const graph = model([node("a"), node("b"), node("m", "values: Any* ->")], "a.y -> m.values");
  const joining = new Joining(graph, port("b.y>"));
  assert.deepEqual(connecting(joining, port(">m.values")), {
    op: "connect",
    ...edge("b.y -> m.values"),
    order: 1,
  });
});

test("the end of an edge that is moved no longer stands in the way", () => {
  const moved = edge("b.y -> c.x");
  const joining = new Joining(chain(), port(">c.x"), moved);
  assert.equal(joining.refusal(port("a.y>")), null);
  assert.deepEqual(connecting(joining, port("a.y>")), {
    op: "batch",
    operations: [
      { op: "disconnect", ...moved },
      { op: "connect", ...edge("a.y -> c.x"), order: 0 },
    ],
  });
});

test("an edge dropped on a node takes a free port before an occupied one", () => {
  const graph = model([node("a"), node("b"), node("c", "p; q ->")], "b.y -> c.p");
  assert.deepEqual(new Joining(graph, port("a.y>")).bestPort("c"), port(">c.q"));
});

test("a mask has one digit a port on the side that is looked for", () => {
  const graph = model([node("a"), node("b", "p; q: bool; r: Any -> y")]);
  assert.equal(new Joining(graph, port("a.y>")).mask("b"), "input:101");
});
