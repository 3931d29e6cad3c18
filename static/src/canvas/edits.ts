/** From what a person did to the one operation that says it. */

import { edgeId, Model } from "./model";
import type { Joining } from "./rules";
import type { GraphEdge, Operation, PortRef, Selection } from "./types";

/** Nodes that moved, each by the same step; what lies in a moved container moves along, since every
 * place counts from the canvas. Null when nothing moved. */
export function moving(model: Model, ids: Iterable<string>, dx: number, dy: number): Operation | null {
  const positions: Record<string, [number, number]> = {};
  for (const id of ids) {
    for (const moved of [id, ...model.below(id)]) {
      const rect = model.rects.get(moved);
      if (rect) positions[moved] = [Math.round(rect.x + dx), Math.round(rect.y + dy)];
    }
  }
  return (dx || dy) && Object.keys(positions).length ? { op: "move_nodes", positions } : null;
}

/** Nodes that moved to places of their own; see `moving`. */
export function moved(model: Model, places: Map<string, { x: number; y: number }>): Operation | null {
  const positions: Record<string, [number, number]> = {};
  // Outer ones first, so that a node that was dragged together with its container has its own place.
  const ids = model.order.filter((id) => places.has(id));
  for (const id of ids) {
    const rect = model.rects.get(id);
    const place = places.get(id);
    if (!rect || !place) continue;
    const step = moving(model, [id], place.x - rect.x, place.y - rect.y);
    if (step?.op === "move_nodes") Object.assign(positions, step.positions);
  }
  return Object.keys(positions).length ? { op: "move_nodes", positions } : null;
}

/** Selected nodes and edges taken away. Edges go before nodes; those of a removed node go with it. */
export function removing(model: Model, selection: Selection): Operation | null {
  const ids = selection.nodes.filter((id) => model.nodes.has(id));
  const gone = new Set(ids.flatMap((id) => [id, ...model.below(id)]));
  const inner = new Set(ids.flatMap((id) => model.below(id)));
  const edges = selection.edges.filter((edge) => !gone.has(edge.source) && !gone.has(edge.target));
  const operations: Operation[] = [
    ...edges.map(disconnecting),
    ...ids.filter((id) => !inner.has(id)).map((node): Operation => ({ op: "remove_node", node })),
  ];
  return batched(operations);
}

export function disconnecting(edge: GraphEdge): Operation {
  const { source, source_port, target, target_port } = edge;
  return { op: "disconnect", source, source_port, target, target_port };
}

/** An edge drawn to a port: what is in its way is taken away in the same step. */
export function connecting(joining: Joining, to: PortRef): Operation | null {
  const edge = joining.edge(to);
  const target: PortRef = { node: edge.target, port: edge.target_port, side: "input" };
  const others = joining.model.edgesAt(target).filter((other) => other !== joining.moved);
  const port = joining.model.port(target);
  const away = new Map<string, GraphEdge>();
  const replaced = joining.replaced(to);
  for (const old of [joining.moved, replaced]) if (old) away.set(edgeId(old), old);
  const order = port?.many ? others.length : 0;
  return batched([...[...away.values()].map(disconnecting), { op: "connect", ...edge, order }]);
}

function batched(operations: Operation[]): Operation | null {
  const [first] = operations;
  if (!first) return null;
  return operations.length === 1 ? first : { op: "batch", operations };
}
