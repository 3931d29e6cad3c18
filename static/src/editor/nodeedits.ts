/** What the page's keys, menus and palette do to nodes: each becomes one operation. What is dragged is
 * the canvas' own. */

import { toast } from "../site/toasts";
import { edgeBetween, joining, newNodes, roomOf, type Wanted } from "./adding";
import { clipOf, pasting, readClip, roomOfClip, type Clip } from "./clipboard";
import { freeId, freePlace } from "./graph";
import { tidying } from "./tidy";
import type { Canvas, EditorGraph, KindView, Operation } from "./types";

export interface Page {
  canvas: Canvas;
  kinds: Record<string, KindView>;
  shown(): EditorGraph;
  selected(): string[];
  edit(operation: Operation): void;
  undo(): void;
}

export class NodeEdits {
  constructor(private readonly page: Page) {}

  add(kind: KindView, wanted: Wanted | null): void {
    const graph = this.page.shown();
    if (graph.readonly) return;
    const id = freeId(new Set(graph.nodes.map((node) => node.id)), kind.kind);
    const parent = wanted?.parent ?? null;
    const free = !wanted || wanted.anywhere;
    const { x, y } = free ? freePlace(this.level(parent), this.page.canvas.centre(), roomOf(kind)) : wanted;
    const adding = newNodes(graph, this.page.kinds, kind, { id, x, y, parent });
    const near = wanted?.near;
    const port = near && joining(graph, near, kind);
    const joined: Operation[] = near && port ? [{ op: "connect", ...edgeBetween(near, id, port) }] : [];
    this.page.edit(asOne([...adding, ...joined]));
    this.page.canvas.focusNode(id);
  }

  remove(): void {
    const operations = this.page.selected().map((node): Operation => ({ op: "remove_node", node }));
    const count = operations.length;
    if (this.page.shown().readonly || !count) return;
    this.page.edit(asOne(operations));
    const undo = { label: "Undo", does: () => this.page.undo() };
    toast(`${count === 1 ? "Node" : `${count} nodes`} removed`, "ok", undo);
    this.page.canvas.select([]);
  }

  duplicate(nodes = this.page.selected(), dx = 40, dy = 40): void {
    this.put(clipOf(this.page.shown(), nodes), { dx, dy });
  }

  paste(text: string, place: { at: { x: number; y: number }; parent: string | null }): void {
    const clip = readClip(text);
    if (!clip) return toast("What was copied is no part of a pipeline.", "warn");
    const at = freePlace(this.level(place.parent), place.at, roomOfClip(clip));
    this.put(clip, { ...place, at });
  }

  tidy(nodes: string[]): void {
    const operation = tidying(this.page.shown(), nodes);
    if (!operation) return;
    this.page.edit(operation);
    this.page.canvas.fit();
  }

  /** What has to be kept clear of there: in a container, what lies in it. */
  private level(parent: string | null): EditorGraph {
    const graph = this.page.shown();
    return parent ? { ...graph, nodes: graph.nodes.filter((node) => node.parent === parent) } : graph;
  }

  private put(clip: Clip, place: Parameters<typeof pasting>[2]): void {
    const graph = this.page.shown();
    const pasted = pasting(clip, graph, place);
    if (!pasted || graph.readonly) return;
    this.page.edit(pasted.operation);
    this.page.canvas.select(pasted.ids);
    if (pasted.ids[0]) this.page.canvas.reveal(pasted.ids[0]);
  }
}

function asOne(operations: Operation[]): Operation {
  const [only] = operations;
  return operations.length === 1 && only ? only : { op: "batch", operations };
}
