/** A graph with its indexes: what the canvas asks of it many times a second. Never changed in place. */

import { frameOf, sizeOf, type Rect } from "./measures";
import type { Graph, GraphEdge, GraphNode, Operation, Port, PortRef, Side } from "./types";

export class Model {
  readonly nodes = new Map<string, GraphNode>();
  readonly edges: readonly GraphEdge[];
  /** Where nodes and frames are drawn, on the canvas. */
  readonly rects = new Map<string, Rect>();
  /** Node ids in the order in which values flow; a container comes before its body. */
  readonly order: string[];
  private readonly into = new Map<string, GraphEdge[]>();
  private readonly outOf = new Map<string, GraphEdge[]>();
  private readonly parents = new Map<string, string | null>();
  private readonly bodies = new Map<string | null, string[]>();

  constructor(readonly graph: Graph) {
    for (const node of graph.nodes) this.nodes.set(node.id, node);
    this.edges = graph.edges.filter((e) => this.nodes.has(e.source) && this.nodes.has(e.target));
    for (const edge of this.edges) {
      push(this.outOf, edge.source, edge);
      push(this.into, edge.target, edge);
    }
    for (const node of this.nodes.values()) this.keepLostPorts(node);
    for (const node of this.nodes.values()) {
      const parent = this.soundParent(node);
      this.parents.set(node.id, parent);
      push(this.bodies, parent, node.id);
    }
    this.order = this.flowOrder(null);
    for (const id of [...this.order].reverse()) this.place(id);
  }

  node(id: string): GraphNode | undefined {
    return this.nodes.get(id);
  }

  title(id: string): string {
    return this.nodes.get(id)?.title || id;
  }

  /** The container of a node, or null. */
  parentOf(id: string): string | null {
    return this.parents.get(id) ?? null;
  }

  body(id: string | null): readonly string[] {
    return this.bodies.get(id) ?? [];
  }

  /** All that lies in a container, outer ones first. */
  below(id: string): string[] {
    return this.body(id).flatMap((child) => [child, ...this.below(child)]);
  }

  edgesInto(id: string): readonly GraphEdge[] {
    return this.into.get(id) ?? [];
  }

  edgesFrom(id: string): readonly GraphEdge[] {
    return this.outOf.get(id) ?? [];
  }

  edgesAt(end: PortRef): GraphEdge[] {
    return end.side === "input"
      ? this.edgesInto(end.node).filter((edge) => edge.target_port === end.port)
      : this.edgesFrom(end.node).filter((edge) => edge.source_port === end.port);
  }

  port(end: PortRef): Port | undefined {
    return this.ports(end.node, end.side).find((port) => port.name === end.port);
  }

  ports(id: string, side: Side): readonly Port[] {
    const node = this.nodes.get(id);
    return (side === "input" ? node?.inputs : node?.outputs) ?? [];
  }

  /** The innermost container at a place on the canvas. */
  containerAt(x: number, y: number): string | null {
    let found: string | null = null;
    for (const id of this.order) {
      const rect = this.rects.get(id);
      if (!rect || !this.nodes.get(id)?.container) continue;
      const inside = x >= rect.x && x <= rect.x + rect.width && y >= rect.y && y <= rect.y + rect.height;
      if (inside) found = id;
    }
    return found;
  }

  /** A parent that is not there, is no container or lies in the node itself counts as none. */
  private soundParent(node: GraphNode): string | null {
    const { parent } = node;
    if (parent === null || !this.nodes.get(parent)?.container) return null;
    const seen = new Set([node.id]);
    let at: string | null = parent;
    while (at !== null) {
      if (seen.has(at)) return null;
      seen.add(at);
      at = this.nodes.get(at)?.parent ?? null;
    }
    return parent;
  }

  /** An edge may end at a port that its node no longer has. The port is drawn nevertheless, as the
   * edge has to be seen to be taken away. */
  private keepLostPorts(node: GraphNode): void {
    const lost = (edges: readonly GraphEdge[], ports: Port[], name: (edge: GraphEdge) => string) => {
      const known = new Set(ports.map((port) => port.name));
      const missing = new Set(edges.map(name).filter((port) => !known.has(port)));
      return [...missing].map((port) => ({ name: port, type: "Any", lost: true }));
    };
    const inputs = lost(this.edgesInto(node.id), node.inputs, (edge) => edge.target_port);
    const outputs = lost(this.edgesFrom(node.id), node.outputs, (edge) => edge.source_port);
    if (!inputs.length && !outputs.length) return;
    this.nodes.set(node.id, {
      ...node,
      inputs: [...node.inputs, ...inputs],
      outputs: [...node.outputs, ...outputs],
    });
  }

  private flowOrder(parent: string | null): string[] {
    const here = this.body(parent);
    const depth = this.depths(here);
    const at = (id: string) => this.nodes.get(id) as GraphNode;
    const sorted = [...here].sort(
      (a, b) =>
        (depth.get(a) ?? 0) - (depth.get(b) ?? 0) || at(a).y - at(b).y || at(a).x - at(b).x,
    );
    return sorted.flatMap((id) => (at(id).container ? [id, ...this.flowOrder(id)] : [id]));
  }

  /** Length of the longest way to each node. Nodes in a circle have none: the server reports them. */
  private depths(ids: readonly string[]): Map<string, number> {
    const waits = new Map(ids.map((id) => [id, 0]));
    const count = (id: string, by: number) => waits.set(id, (waits.get(id) ?? 0) + by);
    const after = (id: string) => this.edgesFrom(id).filter((edge) => waits.has(edge.target));
    for (const id of ids) for (const edge of after(id)) count(edge.target, 1);
    const depth = new Map<string, number>();
    const free = ids.filter((id) => !waits.get(id));
    for (let id = free.pop(); id !== undefined; id = free.pop()) {
      const next = (depth.get(id) ?? 0) + 1;
      for (const { target } of after(id)) {
        depth.set(target, Math.max(depth.get(target) ?? 0, next));
        count(target, -1);
        if (!waits.get(target)) free.push(target);
      }
    }
    return depth;
  }

  private place(id: string): void {
    const node = this.nodes.get(id) as GraphNode;
    if (!node.container) {
      this.rects.set(id, { x: node.x, y: node.y, ...sizeOf(node) });
      return;
    }
    const body = this.body(id).map((child) => this.rects.get(child) as Rect);
    this.rects.set(id, frameOf(node, body));
  }
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}

export function edgeId(edge: GraphEdge): string {
  return `${edge.source}.${edge.source_port}→${edge.target}.${edge.target_port}`;
}

export function sameEdge(left: GraphEdge, right: GraphEdge): boolean {
  return edgeId(left) === edgeId(right);
}

/** The graph after an operation, shown until the server has answered. What does not apply is left
 * out: its answer will say so. */
export function applied(graph: Graph, operation: Operation): Graph {
  switch (operation.op) {
    case "move_nodes": {
      const places = operation.positions;
      const nodes = graph.nodes.map((node) => {
        const place = places[node.id];
        return place ? { ...node, x: place[0], y: place[1] } : node;
      });
      return { ...graph, nodes };
    }
    case "remove_node": {
      const gone = new Set([operation.node]);
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
    case "connect": {
      const { source, source_port, target, target_port } = operation;
      const edge = { source, source_port, target, target_port };
      if (graph.edges.some((other) => sameEdge(other, edge))) return graph;
      return { ...graph, edges: [...graph.edges, edge] };
    }
    case "disconnect":
      return { ...graph, edges: graph.edges.filter((edge) => !sameEdge(edge, operation)) };
    case "batch":
      return operation.operations.reduce(applied, graph);
  }
}

/** A graph that can be drawn, from JSON of which nothing is sure. Throws what is wrong with it. */
export function readGraph(raw: unknown): Graph {
  const graph = raw as Partial<Graph> | null;
  if (!graph || !Array.isArray(graph.nodes) || !Array.isArray(graph.edges)) {
    throw new TypeError("A graph has a list of nodes and a list of edges.");
  }
  const ids = new Set<string>();
  for (const node of graph.nodes) {
    if (typeof node?.id !== "string" || ids.has(node.id)) {
      throw new TypeError(`Every node has an id of its own; '${node?.id}' is none.`);
    }
    ids.add(node.id);
  }
  return { nodes: graph.nodes.map(readNode), edges: graph.edges, readonly: !!graph.readonly };
}

function readNode(node: GraphNode): GraphNode {
  return {
    ...node,
    title: node.title || node.id,
    kindTitle: node.kindTitle || node.kind,
    summary: node.summary ?? "",
    backend: node.backend ?? "engine",
    parent: node.parent ?? null,
    x: Number.isFinite(node.x) ? node.x : 0,
    y: Number.isFinite(node.y) ? node.y : 0,
    inputs: node.inputs ?? [],
    outputs: node.outputs ?? [],
    problems: node.problems ?? 0,
    container: !!node.container,
  };
}
