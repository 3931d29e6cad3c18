/** The graph as React Flow wants it. Whatever has not changed stays the same object, so that only
 * what did change is drawn anew. */

import { Position, type Edge, type Node, type NodeHandle } from "@xyflow/react";
import { headHeight, portY, STREAM, type Rect } from "./measures";
import { edgeId, type Model } from "./model";
import { dataType } from "./ports";
import type { Reach } from "./route";
import type { GraphEdge, GraphNode, Port, Side } from "./types";

export interface StepData extends Record<string, unknown> {
  node: GraphNode;
  /** One character a port: 1 is connected. */
  inputs: string;
  outputs: string;
  /** All of the above as text: equal texts look equal. */
  key: string;
}

export interface WireData extends Record<string, unknown> {
  edge: GraphEdge;
  type: string;
  reach: Reach;
  /** The output has more edges than this one. */
  forks: boolean;
  key: string;
}

export type StepNode = Node<StepData, "step" | "frame">;
export type WireEdge = Edge<WireData, "wire">;

export interface Selected {
  nodes: ReadonlySet<string>;
  edges: ReadonlySet<string>;
}

export function flowNodes(model: Model, before: readonly StepNode[], selected: Selected): StepNode[] {
  const old = new Map(before.map((node) => [node.id, node]));
  return model.order.map((id) => {
    const node = flowNode(model, id, selected.nodes.has(id));
    return reused(old.get(id), node);
  });
}

function flowNode(model: Model, id: string, selected: boolean): StepNode {
  const node = model.node(id) as GraphNode;
  const rect = model.rects.get(id) as Rect;
  const parent = model.parentOf(id);
  const frame = parent === null ? undefined : model.rects.get(parent);
  const width = rect.width;
  const height = rect.height;
  return {
    id,
    type: node.container ? "frame" : "step",
    position: { x: rect.x - (frame?.x ?? 0), y: rect.y - (frame?.y ?? 0) },
    ...(parent === null ? {} : { parentId: parent }),
    width,
    height,
    measured: { width, height },
    handles: [
      ...node.inputs.map((port, row) => handle(port, row, "input", width)),
      ...node.outputs.map((port, row) => handle(port, row, "output", width)),
    ],
    selected,
    data: stepData(model, node),
  };
}

/** Port and edge meet on the node's border, so the handle is a point there. */
function handle(port: Port, row: number, side: Side, width: number): NodeHandle {
  return {
    id: port.name,
    type: side === "input" ? "target" : "source",
    position: side === "input" ? Position.Left : Position.Right,
    x: side === "input" ? 0 : width - 1,
    y: portY(row) - 0.5,
    width: 1,
    height: 1,
  };
}

function stepData(model: Model, node: GraphNode): StepData {
  const joined = (side: Side) =>
    model
      .ports(node.id, side)
      .map(({ name }) => (model.edgesAt({ node: node.id, port: name, side }).length ? "1" : "0"))
      .join("");
  const inputs = joined("input");
  const outputs = joined("output");
  const { x: _x, y: _y, ...looks } = node;
  return { node, inputs, outputs, key: JSON.stringify([looks, inputs, outputs]) };
}

function reused(old: StepNode | undefined, node: StepNode): StepNode {
  if (!old) return node;
  const alike = old.data.key === node.data.key;
  const data = alike ? old.data : node.data;
  const inPlace =
    alike &&
    old.position.x === node.position.x &&
    old.position.y === node.position.y &&
    old.width === node.width &&
    old.height === node.height &&
    old.parentId === node.parentId &&
    old.selected === node.selected &&
    !old.dragging;
  return inPlace ? old : { ...node, data };
}

export function flowEdges(model: Model, before: readonly WireEdge[], selected: Selected): WireEdge[] {
  const old = new Map(before.map((edge) => [edge.id, edge]));
  const seen = new Set<string>();
  const edges: WireEdge[] = [];
  for (const edge of model.edges) {
    const id = edgeId(edge);
    if (seen.has(id)) continue;
    seen.add(id);
    const wire = flowEdge(model, id, edge, selected.edges.has(id));
    const known = old.get(id);
    const same = known && known.data?.key === wire.data?.key && known.selected === wire.selected;
    edges.push(same ? known : wire);
  }
  return edges;
}

function flowEdge(model: Model, id: string, edge: GraphEdge, selected: boolean): WireEdge {
  const source = { node: edge.source, port: edge.source_port, side: "output" as const };
  const type = dataType(model.port(source)?.type ?? "Any");
  const [sourceUp, sourceDown] = reachOf(model, edge.source, edge.source_port, "output");
  const [targetUp, targetDown] = reachOf(model, edge.target, edge.target_port, "input");
  const stream = model.node(edge.source)?.group === "language model" ? STREAM : 0;
  const reach = { sourceUp, sourceDown, targetUp, targetDown, stream };
  const forks = model.edgesAt(source).length > 1;
  return {
    id,
    type: "wire",
    source: edge.source,
    target: edge.target,
    sourceHandle: edge.source_port,
    targetHandle: edge.target_port,
    selected,
    data: { edge, type, reach, forks, key: JSON.stringify([type, reach, forks]) },
  };
}

function reachOf(model: Model, id: string, port: string, side: Side): [number, number] {
  const row = model.ports(id, side).findIndex((other) => other.name === port);
  const up = portY(Math.max(0, row));
  const height = model.rects.get(id)?.height ?? headHeight(model.node(id) as GraphNode);
  return [up, height - up];
}
