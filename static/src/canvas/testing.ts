/** Builders that tests share: small graphs in few words. */

import { Model } from "./model";
import type { Graph, GraphEdge, GraphNode, PortRef, Side } from "./types";

/** A node with ports such as `x`, `y: int` or `values: Any*` (takes several edges). */
export function node(id: string, ports = "x -> y", parts: Partial<GraphNode> = {}): GraphNode {
  const [inputs = "", outputs = ""] = ports.split("->");
  return {
    id,
    kind: "predict",
    title: id,
    kindTitle: "Predict",
    icon: "predict",
    group: "language model",
    parent: null,
    x: 0,
    y: 0,
    summary: "",
    backend: "auto",
    inputs: portsOf(inputs),
    outputs: portsOf(outputs),
    problems: 0,
    container: false,
    ...parts,
  };
}

function portsOf(text: string) {
  const parts = text.split(";").map((part) => part.trim()).filter(Boolean);
  return parts.map((part) => {
    const [name = "", type = "str"] = part.split(":").map((word) => word.trim());
    return { name, type: type.replace("*", ""), required: true, many: type.endsWith("*") };
  });
}

/** `a.y -> b.x` */
export function edge(text: string): GraphEdge {
  const [source = "", target = ""] = text.split("->").map((end) => end.trim());
  const at = (end: string) => [end.slice(0, end.indexOf(".")), end.slice(end.indexOf(".") + 1)];
  const [from = "", out = ""] = at(source);
  const [to = "", into = ""] = at(target);
  return { source: from, source_port: out, target: to, target_port: into };
}

export function graph(nodes: GraphNode[], ...edges: string[]): Graph {
  return { nodes, edges: edges.map(edge) };
}

export function model(nodes: GraphNode[], ...edges: string[]): Model {
  return new Model(graph(nodes, ...edges));
}

/** `a.y>` is the output y of a, `>a.x` its input x. */
export function port(text: string): PortRef {
  const side: Side = text.endsWith(">") ? "output" : "input";
  const [id = "", ...name] = text.replace(">", "").split(".");
  return { node: id, port: name.join("."), side };
}

/** a → b → c, side by side. */
export function chain(): Model {
  const nodes = ["a", "b", "c"].map((id, at) => node(id, "x -> y", { x: at * 300 }));
  return model(nodes, "a.y -> b.x", "b.y -> c.x");
}
