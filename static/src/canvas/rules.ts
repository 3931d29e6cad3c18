/** Which ports may be joined, and if not, why not. The server checks again. */

import { Model, sameEdge } from "./model";
import { fits } from "./ports";
import type { GraphEdge, PortRef } from "./types";

const CROSSES =
  "An edge can't cross the border of a container. Pass the value through its input or output.";

/** All that is to know while one end of an edge is fixed and the other is looked for. */
export class Joining {
  private readonly circle: Set<string>;
  private readonly masks = new Map<string, string>();

  /** `moved` is the edge whose end is being dragged elsewhere; it no longer counts. */
  constructor(
    readonly model: Model,
    readonly from: PortRef,
    readonly moved?: GraphEdge,
  ) {
    this.circle = reachable(model, from.node, from.side === "output" ? "input" : "output", moved);
  }

  /** Why the port can't be joined to the fixed end, or null. */
  refusal(to: PortRef): string | null {
    const { model, from } = this;
    if (to.side === from.side) {
      return from.side === "output"
        ? "Join an output to an input, not to another output."
        : "Join an input to an output, not to another input.";
    }
    const [source, target] = from.side === "output" ? [from, to] : [to, from];
    const output = model.port(source);
    const input = model.port(target);
    if (!output || !input || output.lost || input.lost) return "This port is no longer there.";
    if (from.node === to.node) return "A node can't take its own output.";
    if (model.parentOf(from.node) !== model.parentOf(to.node)) {
      return CROSSES;
    }
    if (this.circle.has(to.node)) {
      const [early, late] = [model.title(target.node), model.title(source.node)];
      return `${late} already waits for ${early}: this edge would close a circle.`;
    }
    if (!fits(output.type, input.type)) {
      return `${source.port} gives ${output.type}, but ${target.port} takes ${input.type}.`;
    }
    const edge = edgeBetween(source, target);
    if (this.edgesAt(target).some((other) => sameEdge(other, edge))) {
      return "These two are joined already.";
    }
    return null;
  }

  /** The edge that would make way: an input that is not `many` takes one edge. */
  replaced(to: PortRef): GraphEdge | undefined {
    const target = this.from.side === "input" ? this.from : to;
    return this.model.port(target)?.many ? undefined : this.edgesAt(target)[0];
  }

  edge(to: PortRef): GraphEdge {
    return this.from.side === "output" ? edgeBetween(this.from, to) : edgeBetween(to, this.from);
  }

  /** One character a port of the node on the side that is looked for: 1 fits, 0 does not.
   * A text, so that a node is drawn anew only if it differs. */
  mask(node: string): string {
    let mask = this.masks.get(node);
    if (mask === undefined) {
      const side = this.from.side === "output" ? "input" : "output";
      mask = this.model
        .ports(node, side)
        .map(({ name }) => (this.refusal({ node, port: name, side }) === null ? "1" : "0"))
        .join("");
      mask = `${side}:${mask}`;
      this.masks.set(node, mask);
    }
    return mask;
  }

  /** The port of a node that an edge dropped on its body goes to: a free one first. */
  bestPort(node: string): PortRef | null {
    const side = this.from.side === "output" ? "input" : "output";
    const legal = this.model
      .ports(node, side)
      .map(({ name }): PortRef => ({ node, port: name, side }))
      .filter((end) => this.refusal(end) === null);
    return legal.find((end) => !this.replaced(end)) ?? legal[0] ?? null;
  }

  private edgesAt(end: PortRef): GraphEdge[] {
    const { moved } = this;
    const edges = this.model.edgesAt(end);
    return moved ? edges.filter((edge) => !sameEdge(edge, moved)) : edges;
  }
}

export function edgeBetween(source: PortRef, target: PortRef): GraphEdge {
  return {
    source: source.node,
    source_port: source.port,
    target: target.node,
    target_port: target.port,
  };
}

/** All nodes before a node (`input`) or after it (`output`), along edges. */
export function reachable(
  model: Model,
  start: string,
  side: "input" | "output",
  without?: GraphEdge,
): Set<string> {
  const found = new Set<string>();
  const waiting = [start];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const edge of side === "input" ? model.edgesInto(at) : model.edgesFrom(at)) {
      if (without && sameEdge(edge, without)) continue;
      const next = side === "input" ? edge.source : edge.target;
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(next);
    }
  }
  return found;
}
