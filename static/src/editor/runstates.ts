/** What a run has not told of yet: every node waits, what it was given is there, and in the end its
 * outputs are too. */

import type { StepPatch } from "../canvas/types";
import type { Canvas, EditorNode } from "./types";

export function began(canvas: Canvas, all: EditorNode[]): void {
  const nodes = taking(all);
  const patches = states(nodes, (node) => (isOuter(node, "input") ? "succeeded" : "queued"));
  const boxes = document.querySelectorAll<HTMLInputElement>("#run-form [name^=input-]");
  const given = [...boxes].reduce((sum, box) => sum + box.value.length, 0);
  const note = `${given.toLocaleString("en-GB")} ${given === 1 ? "character" : "characters"}`;
  for (const node of nodes) if (isOuter(node, "input")) patches[node.id] = { ...patches[node.id], note };
  canvas.status(patches);
}

export function ended(canvas: Canvas, nodes: EditorNode[], status: string): void {
  const outputs = taking(nodes).filter((node) => isOuter(node, "output"));
  if (status === "succeeded") canvas.status(states(outputs, () => "succeeded"));
  canvas.endStatus();
}

/** Those that take part in the run that the panel follows. */
function taking(nodes: EditorNode[]): EditorNode[] {
  const outline = document.querySelector("#run-panel run-live script")?.textContent;
  const part = outline ? (JSON.parse(outline) as { part: string[] | null }).part : null;
  return part ? nodes.filter((node) => part.includes(node.id)) : nodes;
}

function states(
  nodes: EditorNode[],
  of: (node: EditorNode) => NonNullable<StepPatch["status"]>,
): Record<string, StepPatch> {
  return Object.fromEntries(nodes.map((node) => [node.id, { status: of(node) }]));
}

function isOuter(node: EditorNode, kind: "input" | "output"): boolean {
  return node.kind === kind && !node.parent;
}
