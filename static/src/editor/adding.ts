/** Adding a node: what comes with it, what it is joined to, and how much room it takes. */

import { sizeOf } from "../canvas/measures";
import { fits } from "../canvas/ports";
import type { GraphEdge, GraphNode, PortRef } from "../canvas/types";
import { freeId } from "./graph";
import type { EditorGraph, KindView, NewNode } from "./types";

export interface Wanted {
  x: number;
  y: number;
  parent: string | null;
  near?: PortRef;
  /** Nobody has pointed there: it goes where there is room. */
  anywhere?: boolean;
  /** Saved pipelines alone are offered. */
  saved?: boolean;
}

/** The port of a new node that an open end fits to, if there is one. */
export function joining(
  graph: EditorGraph,
  near: PortRef,
  kind: Pick<GraphNode, "inputs" | "outputs">,
): string | null {
  const node = graph.nodes.find((each) => each.id === near.node);
  const isOutput = near.side === "output";
  const port = (isOutput ? node?.outputs : node?.inputs)?.find((each) => each.name === near.port);
  if (!port) return null;
  const ports = isOutput ? kind.inputs : kind.outputs;
  const found = ports.find((each) => {
    return isOutput ? fits(port.type, each.type) : fits(each.type, port.type);
  });
  return found?.name ?? null;
}

/** The operations that add a node of a kind, with what a new container holds. */
export function newNodes(
  graph: EditorGraph,
  kinds: Record<string, KindView>,
  kind: KindView,
  { id, x, y, parent }: { id: string; x: number; y: number; parent: string | null },
): NewNode[] {
  const adding = (view: KindView, rest: Pick<NewNode, "node" | "parent" | "position" | "config">): NewNode => ({
    op: "add_node",
    kind: view.kind,
    kind_version: view.kind_version,
    ...(view.label ? { label: view.label } : {}),
    ...rest,
  });
  const taken = new Set([...graph.nodes.map((node) => node.id), id]);
  const inside = kind.body.flatMap(({ kind: name, config }, at) => {
    const view = kinds[name];
    if (!view) return [];
    const position: [number, number] = [x + BODY_X + BODY_STEP * at, y + BODY_Y];
    return [adding(view, { node: freeId(taken, name), parent: id, position, config })];
  });
  return [adding(kind, { node: id, parent, position: [x, y], config: kind.config }), ...inside];
}

// Inside a frame, below its ports.
const BODY_X = 20;
const BODY_Y = 140;
const BODY_STEP = 420;

/** How much room a new node takes: a container with what it holds. */
export function roomOf(kind: KindView): { width: number; height: number } {
  const { width, height } = sizeOf(kind);
  const across = kind.body.length ? 2 * BODY_X + BODY_STEP * (kind.body.length - 1) + 160 : 0;
  return { width: Math.max(width, across), height: kind.body.length ? BODY_Y + 130 : height };
}

/** An edge from where the add list was opened to the new node. */
export function edgeBetween(near: PortRef, id: string, port: string): GraphEdge {
  return near.side === "output"
    ? { source: near.node, source_port: near.port, target: id, target_port: port }
    : { source: id, source_port: port, target: near.node, target_port: near.port };
}
