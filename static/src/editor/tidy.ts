/** Tidy: columns by what waits for what, rows so that edges cross little. Only what lies side by side in
 * one scope is moved; a container takes its body along. */

import { boundsOf, frameOf, sizeOf } from "../canvas/measures";
import type { EditorGraph, EditorNode, Operation } from "./types";

const GAP_X = 56;
const GAP_Y = 32;

interface Box {
  node: EditorNode;
  width: number;
  height: number;
}

export function tidying(graph: EditorGraph, only: string[]): Operation | null {
  const chosen = only.length > 1 ? new Set(only) : null;
  const scope = graph.nodes.filter((node) => !node.parent && (!chosen || chosen.has(node.id)));
  if (scope.length < 2) return null;
  const boxes = new Map(scope.map((node) => [node.id, boxOf(graph, node)]));
  const columns = columnsOf(graph, boxes);
  const start = boundsOf(scope.map((node) => ({ x: node.x, y: node.y, width: 0, height: 0 })));
  const positions: Record<string, [number, number]> = {};
  let x = start.x;
  for (const column of columns) {
    const height = column.reduce((sum, box) => sum + box.height + GAP_Y, -GAP_Y);
    let y = start.y + (tallest(columns) - height) / 2;
    for (const box of column) {
      place(graph, positions, box.node, snap(x), snap(y));
      y += box.height + GAP_Y;
    }
    x += Math.max(...column.map((box) => box.width)) + GAP_X;
  }
  return { op: "move_nodes", positions };
}

function columnsOf(graph: EditorGraph, boxes: Map<string, Box>): Box[][] {
  const before = new Map<string, string[]>([...boxes.keys()].map((id) => [id, []]));
  for (const edge of graph.edges) {
    if (boxes.has(edge.source)) before.get(edge.target)?.push(edge.source);
  }
  const depth = new Map<string, number>();
  const depthOf = (id: string, path: Set<string>): number => {
    const known = depth.get(id);
    if (known !== undefined || path.has(id)) return known ?? 0;
    path.add(id);
    const found = Math.max(-1, ...(before.get(id) ?? []).map((other) => depthOf(other, path))) + 1;
    path.delete(id);
    depth.set(id, found);
    return found;
  };
  const columns: Box[][] = [];
  for (const [id, box] of boxes) (columns[depthOf(id, new Set())] ??= []).push(box);
  const row = new Map<string, number>();
  for (const column of columns.filter(Boolean)) {
    const wanted = (box: Box) => {
      const rows = (before.get(box.node.id) ?? []).map((other) => row.get(other) ?? 0);
      return rows.length ? rows.reduce((sum, at) => sum + at, 0) / rows.length : box.node.y / 1e4;
    };
    column.sort((left, right) => wanted(left) - wanted(right) || left.node.y - right.node.y);
    for (const [at, box] of column.entries()) row.set(box.node.id, at - (column.length - 1) / 2);
  }
  return columns.filter(Boolean);
}

function boxOf(graph: EditorGraph, node: EditorNode): Box {
  if (!node.container) return { node, ...sizeOf(node) };
  const body = graph.nodes.filter((child) => child.parent === node.id);
  const rects = body.map((child) => ({ x: child.x, y: child.y, ...sizeOf(child) }));
  const { width, height } = frameOf(node, rects);
  return { node, width, height };
}

function place(
  graph: EditorGraph,
  positions: Record<string, [number, number]>,
  node: EditorNode,
  x: number,
  y: number,
): void {
  positions[node.id] = [x, y];
  for (const child of graph.nodes) {
    if (child.parent === node.id) place(graph, positions, child, x + child.x - node.x, y + child.y - node.y);
  }
}

function tallest(columns: Box[][]): number {
  return Math.max(...columns.map((c) => c.reduce((sum, box) => sum + box.height + GAP_Y, -GAP_Y)));
}

function snap(value: number): number {
  return Math.round(value / 4) * 4;
}
