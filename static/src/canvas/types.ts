/** What goes into the canvas and what comes out of it, as JSON. The host page owns the truth. */

export type Backend = "native" | "dspy" | "auto" | "engine";

export interface Port {
  name: string;
  /** Canonical text of a type, such as `list[str]`. */
  type: string;
  required?: boolean;
  /** Takes more than one edge. */
  many?: boolean;
  /** The node no longer has this port, but an edge still ends at it. Set by the canvas. */
  lost?: boolean;
}

export interface GraphNode {
  id: string;
  kind: string;
  title: string;
  kindTitle: string;
  icon: string;
  group: string;
  parent: string | null;
  /** Top left corner in CSS pixels at zoom 1, counted from the canvas also within a container. */
  x: number;
  y: number;
  summary: string;
  backend: Backend;
  inputs: Port[];
  outputs: Port[];
  problems: number;
  /** Holds other nodes and is drawn as a frame around them. */
  container: boolean;
}

export interface GraphEdge {
  source: string;
  source_port: string;
  target: string;
  target_port: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  readonly?: boolean;
}

/** One end of an edge. */
export interface PortRef {
  node: string;
  port: string;
  side: Side;
}

export type Side = "input" | "output";

/** The operations a canvas makes, in the words of the server (`pipelines/graph/ops.py`). */
export type Operation =
  | { op: "move_nodes"; positions: Record<string, [number, number]> }
  | { op: "remove_node"; node: string }
  | ({ op: "connect"; order?: number } & GraphEdge)
  | ({ op: "disconnect" } & GraphEdge)
  | { op: "batch"; operations: Operation[] };

export type Status =
  | "queued"
  | "running"
  | "succeeded"
  | "failed"
  | "skipped"
  | "cancelled"
  | "cached"
  | "waiting";

/** How far a map, reduce or loop has come. `done` has those in it that failed; of a loop it is the round. */
export interface Progress {
  done: number;
  total: number;
  failed: number;
  text: string;
}

/** What is known of a node in the run that is shown. A patch leaves out what has not changed. */
export interface StepPatch {
  status?: Status | null;
  seconds?: number | null;
  tokens?: number | null;
  cost?: number | null;
  /** The field that is being written. */
  field?: string | null;
  /** The tail of the stream as it is; replaces what the chunks came to so far. */
  text?: string;
  /** A word for the footer's end, such as `usually 0.3 s`. */
  note?: string | null;
  progress?: Progress | null;
}

/** Somebody else has a node selected. `colour` counts from 0 to 4. */
export interface Mark {
  names: string;
  colour: number;
}

export interface Selection {
  nodes: string[];
  edges: GraphEdge[];
}

/** The canvas' events by name, with their details. All of them bubble and cross shadow borders. */
export interface CanvasEvents {
  operation: { id: string; operation: Operation };
  selection: Selection;
  open: { node: string };
  refused: { message: string };
  undo: null;
  redo: null;
  "request-add": {
    kind?: string;
    x: number;
    y: number;
    parent: string | null;
    near?: PortRef;
    /** Nobody pointed there: it is where to look for room. */
    anywhere?: boolean;
  };
  "request-run": { mode: "run" | "step" | "from"; node?: string };
  "request-rename": { node: string };
  "request-tidy": { nodes: string[] };
  "request-copy": Selection & { cut: boolean; clipboard: DataTransfer | null };
  "request-paste": { text: string; x: number; y: number; parent: string | null };
  "request-duplicate": Selection & { dx: number; dy: number };
}

export type Emit = <Name extends keyof CanvasEvents>(
  name: Name,
  detail: CanvasEvents[Name],
) => boolean;

/** Pixels between two dots of the background, and the finer raster that nodes snap to. */
export const DOTS = 20;
export const SNAP = 4;
