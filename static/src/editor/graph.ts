/** The graph as the server has said it, and with what it has not answered yet. */

import { sizeOf } from "../canvas/measures";
import type { GraphEdge } from "../canvas/types";
import type { Applied, Caught, EditorGraph, EditorNode, KindView, Operation, Problem } from "./types";

const APART = 12;
const STEP = 40;
const RINGS = 40;

type Kinds = Record<string, KindView>;

/** The graph after an operation, as far as it can be told here: a server that answers sends the nodes
 * that have changed. */
export function after(graph: EditorGraph, operation: Operation, kinds: Kinds): EditorGraph {
  switch (operation.op) {
    case "batch":
      return operation.operations.reduce((whole, part) => after(whole, part, kinds), graph);
    case "add_node": {
      const kind = kinds[operation.kind];
      if (!kind || graph.nodes.some((node) => node.id === operation.node)) return graph;
      const [x, y] = operation.position ?? [0, 0];
      const label = operation.label ?? "";
      const title = label || titleOf(operation.node, kind.kindTitle);
      const own = { id: operation.node, x, y, label, title };
      const config = operation.config ?? {};
      const policy = operation.policy ?? {};
      const node: EditorNode = { ...kind, ...own, config, policy, parent: operation.parent ?? null };
      return { ...graph, nodes: [...graph.nodes, node] };
    }
    case "remove_node":
      return without(graph, operation.node);
    case "move_nodes": {
      const nodes = graph.nodes.map((node) => {
        const place = operation.positions[node.id];
        return place ? { ...node, x: place[0], y: place[1] } : node;
      });
      return { ...graph, nodes };
    }
    case "rename": {
      const { node: id, label } = operation;
      const title = (node: EditorNode) => label || titleOf(node.id, node.kindTitle);
      const named = (node: EditorNode) => ({ ...node, label, title: title(node) });
      return { ...graph, nodes: graph.nodes.map((node) => (node.id === id ? named(node) : node)) };
    }
    case "connect": {
      const { source, source_port, target, target_port } = operation;
      const edge = { source, source_port, target, target_port };
      return { ...graph, edges: [...graph.edges.filter((other) => !same(other, edge)), edge] };
    }
    case "disconnect":
      return { ...graph, edges: graph.edges.filter((edge) => !same(edge, operation)) };
    case "set_config":
    case "set_policy": {
      const set = (node: EditorNode) => withField(node, operation);
      return { ...graph, nodes: graph.nodes.map((node) => (node.id === operation.node ? set(node) : node)) };
    }
    case "describe":
      return graph;
  }
}

function withField(
  node: EditorNode,
  { op, field, value }: Extract<Operation, { op: "set_config" | "set_policy" }>,
): EditorNode {
  const part = op === "set_config" ? "config" : "policy";
  const { [field]: _, ...rest } = node[part];
  return { ...node, [part]: value === undefined ? rest : { ...rest, [field]: value } };
}

/** The graph after an answer: the operation, then the server's own picture of the nodes. */
export function answered(graph: EditorGraph, answer: Applied, kinds: Kinds): EditorGraph {
  return pictured(after(graph, answer.operation, kinds), answer.nodes, answer.problems);
}

function pictured(
  graph: EditorGraph,
  fresh: EditorNode[] | undefined,
  problems: Problem[] | undefined,
): EditorGraph {
  const pictures = new Map(fresh?.map((node) => [node.id, node]));
  const known = new Set(graph.nodes.map((node) => node.id));
  const nodes = graph.nodes.map((node) => pictures.get(node.id) ?? node);
  for (const [id, node] of pictures) if (!known.has(id)) nodes.push(node);
  return marked({ ...graph, nodes }, problems);
}

/** The graph after what others have done: their operations, then the server's own pictures. */
export function caughtUp(graph: EditorGraph, caught: Caught, since: number, kinds: Kinds): EditorGraph {
  const missed = caught.operations.filter(({ revision }) => revision > since);
  const moved = missed.reduce((whole, { operation }) => after(whole, operation, kinds), graph);
  return pictured(moved, caught.nodes, caught.problems);
}

/** With how many problems each node has. */
export function marked(graph: EditorGraph, problems: Problem[] | undefined): EditorGraph {
  if (!problems) return graph;
  const counts = new Map<string | null, number>();
  for (const { node } of problems) counts.set(node, (counts.get(node) ?? 0) + 1);
  const nodes = graph.nodes.map((node) => {
    const count = counts.get(node.id) ?? 0;
    return node.problems === count ? node : { ...node, problems: count };
  });
  return { ...graph, nodes };
}

/** The nearest place to a point where a node of this size covers no other. */
export function freePlace(
  graph: EditorGraph,
  near: { x: number; y: number },
  size: { width: number; height: number },
): { x: number; y: number } {
  const boxes = graph.nodes.map((node) => boxOf(graph, node));
  const isFree = ({ x, y }: { x: number; y: number }) =>
    boxes.every(
      (box) =>
        x >= box.x + box.width + APART ||
        y >= box.y + box.height + APART ||
        x + size.width + APART <= box.x ||
        y + size.height + APART <= box.y,
    );
  for (let ring = 0; ring < RINGS; ring++) {
    for (const [dx, dy] of around(ring)) {
      const place = { x: near.x + dx * STEP, y: near.y + dy * STEP };
      if (isFree(place)) return place;
    }
  }
  return near;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The room that a node takes, a container with all that lies in it. */
function boxOf(graph: EditorGraph, node: EditorNode): Box {
  const own = { x: node.x, y: node.y, ...sizeOf(node) };
  const inside = node.container ? graph.nodes.filter((each) => each.parent === node.id) : [];
  return inside.map((each) => boxOf(graph, each)).reduce(holding, own);
}

function holding(one: Box, other: Box): Box {
  const [x, y] = [Math.min(one.x, other.x), Math.min(one.y, other.y)];
  const right = Math.max(one.x + one.width, other.x + other.width + APART);
  const bottom = Math.max(one.y + one.height, other.y + other.height + APART);
  return { x, y, width: right - x, height: bottom - y };
}

/** The steps that are this far away, those below and to the right first. */
function around(ring: number): [number, number][] {
  const places: [number, number][] = [];
  for (let dx = ring; dx >= -ring; dx--) {
    for (let dy = ring; dy >= -ring; dy--) {
      if (Math.max(Math.abs(dx), Math.abs(dy)) === ring) places.push([dx, dy]);
    }
  }
  return places.sort(([ax, ay], [bx, by]) => ax * ax + ay * ay - (bx * bx + by * by));
}

/** A node's id that is free: the kind's name, with a number when it is taken. */
export function freeId(taken: Set<string>, wanted: string): string {
  const stem = wanted.replace(/_\d+$/, "").slice(0, 56);
  for (let number = 1; ; number++) {
    const id = number === 1 ? stem : `${stem}_${number}`;
    if (taken.has(id)) continue;
    taken.add(id);
    return id;
  }
}

/** As the server says it: the kind, with the number that tells it from others. */
function titleOf(id: string, kind: string): string {
  const number = /_(\d+)$/.exec(id)?.[1];
  return number ? `${kind} ${number}` : kind;
}

function without(graph: EditorGraph, id: string): EditorGraph {
  const gone = new Set([id]);
  let before = 0;
  while (before !== gone.size) {
    before = gone.size;
    for (const node of graph.nodes) if (node.parent && gone.has(node.parent)) gone.add(node.id);
  }
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => !gone.has(node.id)),
    edges: graph.edges.filter((edge) => !gone.has(edge.source) && !gone.has(edge.target)),
  };
}

function same(left: GraphEdge, right: GraphEdge): boolean {
  return (
    left.source === right.source &&
    left.source_port === right.source_port &&
    left.target === right.target &&
    left.target_port === right.target_port
  );
}
