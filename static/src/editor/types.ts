/** What the editor's page knows: the canvas' graph with what copying needs, and the server's answers. */

import type { PipelineCanvas } from "../canvas/element";
import type { GraphEdge, GraphNode, Operation as CanvasOperation } from "../canvas/types";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface EditorNode extends GraphNode {
  kindVersion: number;
  label: string;
  config: Record<string, Json>;
  policy: Record<string, Json>;
}

export interface EditorGraph {
  nodes: EditorNode[];
  edges: GraphEdge[];
  readonly: boolean;
}

export interface NewNode {
  op: "add_node";
  node: string;
  kind: string;
  kind_version: number;
  label?: string;
  config?: Record<string, Json>;
  policy?: Record<string, Json>;
  parent?: string | null;
  position?: [number, number] | null;
}

/** All operations, in the words of `pipelines/graph/ops.py`. */
export type Operation =
  | Exclude<CanvasOperation, { op: "batch" }>
  | NewNode
  | { op: "set_config" | "set_policy"; node: string; field: string; value?: Json }
  | { op: "rename"; node: string; label: string }
  | { op: "describe"; name?: string; description?: string }
  | { op: "batch"; operations: Operation[] };

export interface Problem {
  code: string;
  message: string;
  node: string | null;
  title: string | null;
  port: string | null;
  field: string | null;
}

export interface State {
  revision: number;
  name: string;
  graph: EditorGraph;
  problems: Problem[];
}

export interface FirstState extends Omit<State, "graph"> {
  me: number;
  kinds: Record<string, KindView>;
}

/** A kind of the palette, drawn as its first node will be. */
export interface KindView extends EditorNode {
  kind_version: number;
  description: string;
  /** Can be added from nothing. */
  offered: boolean;
  /** What a new container holds. */
  body: { kind: string; config: Record<string, Json> }[];
}

export interface Applied {
  status: "applied";
  id: string;
  revision: number;
  operation: Operation;
  name?: string;
  nodes?: EditorNode[];
  problems?: Problem[];
}

/** What was done since a revision. */
export interface Caught {
  revision: number;
  name: string;
  operations: { id: string; revision: number; operation: Operation; author_id: number | null }[];
  nodes: EditorNode[];
  problems: Problem[];
}

export interface Conflict {
  key: string;
  yours: Json;
  theirs: Json;
  revision: number;
  author_id: number | null;
  author: string;
}

export interface Refused {
  status: "refused";
  id: string;
  revision: number;
  code: string;
  message: string;
  conflicts: Conflict[];
}

export type Answer = Applied | Refused;

/** One edit on its way to the server. `base` is the revision that it was made on. */
export interface Edit {
  id: string;
  base: number;
  operation?: Operation;
  undoes?: string;
  /** The canvas shows it already. */
  drawn?: boolean;
}

export type Canvas = PipelineCanvas;

export function byId<Kind extends HTMLElement>(id: string): Kind {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element as Kind;
}

/** What the server has written into the page. */
export function read<Value>(id: string): Value {
  return JSON.parse(byId(id).textContent ?? "") as Value;
}
