/** Copies of nodes: what is written to the clipboard, and the one operation that puts it back. */

import type { GraphEdge } from "../canvas/types";
import { freeId } from "./graph";
import type { EditorGraph, EditorNode, Json, NewNode, Operation } from "./types";

interface Piece {
  node: NewNode;
  x: number;
  y: number;
}

export interface Clip {
  pieces: Piece[];
  edges: GraphEdge[];
}

const MOST = 1_500;

/** The nodes, what lies in them, and the edges between them. */
export function clipOf(graph: EditorGraph, ids: string[]): Clip {
  const wanted = new Set(ids);
  let before = -1;
  while (before !== wanted.size) {
    before = wanted.size;
    for (const node of graph.nodes) if (node.parent && wanted.has(node.parent)) wanted.add(node.id);
  }
  const nodes = graph.nodes.filter((node) => wanted.has(node.id));
  return {
    pieces: nodes.map((node) => ({ node: adding(node, wanted), x: node.x, y: node.y })),
    edges: graph.edges.filter((edge) => wanted.has(edge.source) && wanted.has(edge.target)),
  };
}

export function clipText(clip: Clip): string {
  return JSON.stringify({ dspex: clip });
}

/** Nodes from a text: what was copied here, or a whole pipeline file. Null when it is neither. */
export function readClip(text: string): Clip | null {
  try {
    const raw = JSON.parse(text) as { dspex?: Clip; format?: number };
    if (Array.isArray(raw.dspex?.pieces) && Array.isArray(raw.dspex.edges)) return raw.dspex;
    return raw.format === 1 ? fromFile(raw as unknown as PipelineFile) : null;
  } catch {
    return null;
  }
}

/** The operation that adds the pieces with ids of their own. `at`: where their top left corner goes;
 * without it they lie a step beside the originals. Also gives the ids of the outer ones. */
export function pasting(
  clip: Clip,
  graph: EditorGraph,
  place: { at?: { x: number; y: number }; dx?: number; dy?: number; parent?: string | null },
): { operation: Operation; ids: string[] } | null {
  if (!clip.pieces.length || clip.pieces.length > MOST) return null;
  const left = Math.min(...clip.pieces.map((piece) => piece.x));
  const top = Math.min(...clip.pieces.map((piece) => piece.y));
  const dx = place.at ? place.at.x - left : (place.dx ?? 40);
  const dy = place.at ? place.at.y - top : (place.dy ?? 40);
  const taken = new Set(graph.nodes.map((node) => node.id));
  const names = new Map(clip.pieces.map(({ node }) => [node.node, freeId(taken, node.node)]));
  const ids: string[] = [];
  const adding = clip.pieces.map(({ node, x, y }): Operation => {
    const id = names.get(node.node) as string;
    const parent = node.parent ? (names.get(node.parent) ?? null) : (place.parent ?? null);
    if (!node.parent) ids.push(id);
    return { ...node, node: id, parent, position: [x + dx, y + dy] };
  });
  const joining = clip.edges.flatMap((edge): Operation[] => {
    const [source, target] = [names.get(edge.source), names.get(edge.target)];
    return source && target ? [{ op: "connect", ...edge, source, target }] : [];
  });
  return { operation: { op: "batch", operations: [...adding, ...joining] }, ids };
}

/** About how much room its nodes take, as they lie. */
export function roomOfClip({ pieces }: Clip): { width: number; height: number } {
  const span = (places: number[]) => Math.max(...places) - Math.min(...places);
  const width = span(pieces.map(({ x }) => x)) + NODE.width;
  return { width, height: span(pieces.map(({ y }) => y)) + NODE.height };
}

const NODE = { width: 220, height: 140 };

function adding(node: EditorNode, kept: Set<string>): NewNode {
  return {
    op: "add_node",
    node: node.id,
    kind: node.kind,
    kind_version: node.kindVersion,
    label: node.label,
    config: node.config,
    policy: node.policy,
    parent: node.parent && kept.has(node.parent) ? node.parent : null,
  };
}

interface PipelineFile {
  nodes: Record<
    string,
    { kind: string; version?: number; label?: string; parent?: string } & Record<
      "config" | "policy",
      Record<string, Json> | undefined
    >
  >;
  edges?: Record<string, string[]>;
  layout?: Record<string, [number, number]>;
}

function fromFile(file: PipelineFile): Clip {
  const pieces = Object.entries(file.nodes).map(([id, node], at): Piece => {
    const [x, y] = file.layout?.[id] ?? [320 * at, 0];
    const { kind, version = 1, label = "", config = {}, policy = {}, parent = null } = node;
    const added: NewNode = { op: "add_node", node: id, kind, kind_version: version, label, config, policy, parent };
    return { node: added, x, y };
  });
  // Containers go before what lies in them.
  pieces.sort((left, right) => Number(!!left.node.parent) - Number(!!right.node.parent));
  const edges = Object.entries(file.edges ?? {}).flatMap(([to, sources]) =>
    sources.map((from) => ({ ...ends("source", from), ...ends("target", to) }) as unknown as GraphEdge),
  );
  return { pieces, edges };
}

/** `node.port`, where a port's name may have a dot and a node's may not. */
function ends(side: "source" | "target", text: string): Record<string, string> {
  const dot = text.indexOf(".");
  return { [side]: text.slice(0, dot), [`${side}_port`]: text.slice(dot + 1) };
}
