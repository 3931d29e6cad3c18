/** What the canvas shows of a run beside what its steps tell: before it has told anything every node waits
 * and what it was given is there; in the end its outputs are too.
 *
 * Whatever is shown follows from what the run has told, never from when the page heard it: who comes in the
 * middle sees what those see who were there all the time. */

import type { GraphNode, StepPatch } from "../canvas/types";
import type { Going } from "./going";
import type { RunEvent } from "./messages";
import type { Line, Row } from "./row";

type Node = Pick<GraphNode, "id" | "kind" | "parent">;
type Given = Pick<RunEvent, "data" | "artifacts">;
type Patches = Record<string, StepPatch>;

/** `part` are the nodes that take part, where not all do. */
export function waiting(nodes: Node[], part?: string[] | null): Patches {
  const of = (node: Node) => ({ status: isOuter(node, "input") ? "succeeded" : "queued" }) as const;
  return Object.fromEntries(taking(nodes, part).map((node) => [node.id, of(node)]));
}

/** What the run was given. A large value is told of without its text, so that nothing is counted then. */
export function given(nodes: Node[], { data, artifacts }: Given, part?: string[] | null): Patches {
  const values = Object.values((data.inputs ?? {}) as Record<string, unknown>);
  const length = values.map((each) => (typeof each === "string" ? each : JSON.stringify(each)).length);
  const count = artifacts ? 0 : length.reduce((sum, each) => sum + each, 0);
  const note = count ? `${count.toLocaleString("en-GB")} ${count === 1 ? "character" : "characters"}` : null;
  const asked = taking(nodes, part).filter((node) => isOuter(node, "input"));
  return Object.fromEntries(asked.map(({ id }) => [id, { note }]));
}

/** What a container's own input and output show by how the container is: they are no steps of their own. */
export function within(nodes: Node[], container: string, status: StepPatch["status"]): Patches {
  const own = nodes.filter(({ parent, kind }) => parent === container && (kind === "input" || kind === "output"));
  const of = ({ kind }: Node): StepPatch["status"] => {
    if (status === "succeeded" || status === "cached") return status;
    if (status !== "running" && status !== "waiting") return null;
    return kind === "input" ? "succeeded" : "queued";
  };
  return Object.fromEntries(own.map((node) => [node.id, { status: of(node) }]));
}

export function reached(nodes: Node[], part?: string[] | null): Patches {
  const outputs = taking(nodes, part).filter((node) => isOuter(node, "output"));
  return Object.fromEntries(outputs.map(({ id }) => [id, { status: "succeeded" }]));
}

function taking(nodes: Node[], part?: string[] | null): Node[] {
  return part ? nodes.filter(({ id }) => part.includes(id)) : nodes;
}

function isOuter(node: Node, kind: "input" | "output"): boolean {
  return node.kind === kind && !node.parent;
}

/** Which text a node shows: that of its first step that goes on and writes, else of the one that ended last. */
export class NodeTexts {
  private readonly last = new Map<string, string>();
  private readonly shown = new Map<string, Line | null>();

  constructor(
    private readonly rows: ReadonlyMap<string, Pick<Row, "writes">>,
    private readonly going: Going,
  ) {}

  ended(node: string, path: string): void {
    this.last.set(node, path);
  }

  /** The line to show, and whether it goes on with what was shown before. */
  next(node: string): { line: Line | null; follows: boolean } {
    const going = this.going.of(node);
    const paths = going.length ? going : [this.last.get(node) ?? ""];
    const lines = paths.map((path) => this.rows.get(path)?.writes ?? null);
    const line = lines.find((each) => each) ?? null;
    const follows = (this.shown.get(node) ?? null) === line;
    this.shown.set(node, line);
    return { line, follows };
  }
}
