/** The state behind one canvas: the graph as the server knows it, the operations it has not answered
 * yet, what is selected, and what is going on. */

import { applyEdgeChanges, applyNodeChanges, type EdgeChange, type NodeChange } from "@xyflow/react";
import { flowEdges, flowNodes, type StepNode, type WireEdge } from "./flow";
import { Live } from "./live";
import { applied, edgeId, Model } from "./model";
import type { Joining } from "./rules";
import { Signal } from "./signal";
import type { Emit, Graph, Mark, Operation, PortRef, Selection } from "./types";

interface Pending {
  id: string;
  operation: Operation;
}

const EMPTY: Graph = { nodes: [], edges: [], readonly: false };

export class Stage {
  readonly live = new Live();
  readonly model = new Signal(new Model(EMPTY));
  readonly nodes = new Signal<StepNode[]>([]);
  readonly edges = new Signal<WireEdge[]>([]);
  /** While an edge is being drawn: which ports it may go to. */
  readonly joining = new Signal<Joining | null>(null);
  /** The list from which an edge is made by keys or clicks, and the end it starts at. */
  readonly joiner = new Signal<{ node: string; from: PortRef | null } | null>(null);
  /** While nodes are dragged by the pointer. */
  readonly dragging = new Signal(false);
  /** By node, who else has it selected. */
  /** Nodes whose outputs the person has pinned. */
  readonly pinned = new Signal<ReadonlySet<string>>(new Set());
  readonly presence = new Signal<ReadonlyMap<string, Mark>>(new Map());
  /** How many nodes are selected, once a box has been drawn round them. */
  readonly picked = new Signal(0);
  /** What a screen reader says next. */
  readonly said = new Signal("");
  private base: Graph = EMPTY;
  private pending: Pending[] = [];
  private selectedNodes: ReadonlySet<string> = new Set();
  private selectedEdges: ReadonlySet<string> = new Set();
  private boxing = false;

  constructor(readonly emit: Emit) {}

  get readonly(): boolean {
    return !!this.base.readonly;
  }

  get selection(): Selection {
    const edges = this.model.get().edges.filter((edge) => this.selectedEdges.has(edgeId(edge)));
    return { nodes: [...this.selectedNodes], edges };
  }

  /** The server's graph. Operations made after `upTo` are not in it yet and stay on top; without
   * `upTo` it has the last word on all of them. */
  update(graph: Graph, upTo?: string): void {
    const answered = upTo === undefined ? -1 : this.pending.findIndex(({ id }) => id === upTo);
    this.base = graph;
    this.pending = answered < 0 && upTo === undefined ? [] : this.pending.slice(answered + 1);
    this.show();
  }

  /** Takes back an operation that the server has refused. */
  refuse(id: string): void {
    this.pending = this.pending.filter((other) => other.id !== id);
    this.show();
  }

  /** Shows an operation at once and hands it to the page. */
  edit(operation: Operation | null): void {
    if (!operation || this.readonly) return;
    const id = newId();
    this.pending.push({ id, operation });
    this.show();
    this.emit("operation", { id, operation });
  }

  say(text: string): void {
    // A screen reader says a text only if it differs from the one before.
    this.said.set(this.said.get() === text ? `${text}\u00a0` : text);
  }

  refused(message: string): void {
    this.say(message);
    this.emit("refused", { message });
  }

  /** Marks that are as they were stay the same objects: only nodes whose mark differs are drawn anew. */
  mark(marks: Record<string, Mark>): void {
    const before = this.presence.get();
    const now = new Map<string, Mark>();
    for (const [node, mark] of Object.entries(marks)) {
      const old = before.get(node);
      now.set(node, old?.names === mark.names && old.colour === mark.colour ? old : mark);
    }
    this.presence.set(now);
  }

  select(nodes: Iterable<string>, edges: Iterable<string> = []): void {
    const known = this.model.get().nodes;
    this.selectedNodes = new Set([...nodes].filter((id) => known.has(id)));
    this.selectedEdges = new Set(edges);
    this.draw();
    this.tellSelection();
  }

  readonly nodesChanged = (changes: NodeChange<StepNode>[]): void => {
    // Nodes are as large as their data says, and go only by an operation.
    const known = changes.filter(({ type }) => type === "position" || type === "select");
    if (!known.length) return;
    this.nodes.set(applyNodeChanges(known, this.nodes.get()));
    if (known.some(({ type }) => type === "select")) {
      this.selectedNodes = new Set(this.nodes.get().filter((n) => n.selected).map((n) => n.id));
      this.tellSelection();
    }
  };

  readonly edgesChanged = (changes: EdgeChange<WireEdge>[]): void => {
    const known = changes.filter(({ type }) => type === "select");
    if (!known.length) return;
    this.edges.set(applyEdgeChanges(known, this.edges.get()));
    this.selectedEdges = new Set(this.edges.get().filter((e) => e.selected).map((e) => e.id));
    this.tellSelection();
  };

  /** While a box is drawn round nodes the selection changes at every step; it is told at the end. */
  readonly boxStarted = (): void => {
    this.boxing = true;
  };

  readonly boxEnded = (): void => {
    this.boxing = false;
    this.tellSelection();
  };

  private told = "";
  private telling = false;

  private tellSelection(): void {
    if (this.telling || this.boxing) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      const selection = this.selection;
      this.picked.set(selection.nodes.length);
      const key = JSON.stringify(selection);
      if (key === this.told) return;
      this.told = key;
      this.emit("selection", selection);
    });
  }

  private show(): void {
    const graph = this.pending.reduce((so, { operation }) => applied(so, operation), this.base);
    const model = new Model(graph);
    this.model.set(model);
    const before = this.selectedNodes.size + this.selectedEdges.size;
    const ids = new Set(model.edges.map(edgeId));
    this.selectedNodes = new Set([...this.selectedNodes].filter((id) => model.nodes.has(id)));
    this.selectedEdges = new Set([...this.selectedEdges].filter((id) => ids.has(id)));
    this.draw();
    if (before !== this.selectedNodes.size + this.selectedEdges.size) this.tellSelection();
  }

  private draw(): void {
    const model = this.model.get();
    const selected = { nodes: this.selectedNodes, edges: this.selectedEdges };
    const before = this.nodes.get();
    // What is being dragged stays under the pointer, whatever comes from the server.
    const held = new Map(before.filter((node) => node.dragging).map((node) => [node.id, node]));
    const nodes = flowNodes(model, before, selected).map((node) => {
      const old = held.get(node.id);
      return old ? { ...node, position: old.position, dragging: true } : node;
    });
    this.nodes.set(nodes);
    this.edges.set(flowEdges(model, this.edges.get(), selected));
  }
}

/** An operation's id: a resend gets its first answer by it. `crypto.randomUUID` needs HTTPS. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
