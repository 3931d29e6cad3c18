/** What the pointer does: dragging nodes, drawing edges, dropping kinds. */

import type { Connection, FinalConnectionState } from "@xyflow/react";
import { connecting, disconnecting, moved } from "./edits";
import type { StepNode, WireEdge } from "./flow";
import { Joining } from "./rules";
import type { Stage } from "./stage";
import type { GraphEdge, PortRef } from "./types";
import type { View } from "./view";

export const DRAGGED_KIND = "application/x-dspex-kind";
/** A click follows the end of a drag; within this time it is not one of its own. */
const CLICK_AFTER_DRAG = 80;

interface HandleAt {
  nodeId: string | null;
  handleId: string | null;
  handleType: "source" | "target" | null;
}

export class Gestures {
  private pulled: GraphEdge | undefined;
  private joinedAt = -Infinity;

  constructor(
    private readonly stage: Stage,
    private readonly view: View,
  ) {}

  readonly dragStarted = (): void => this.stage.dragging.set(true);

  readonly dragEnded = (_event: unknown, _node: unknown, nodes: StepNode[]): void => this.drop(nodes);

  readonly selectionDragEnded = (_event: unknown, nodes: StepNode[]): void => this.drop(nodes);

  private drop(nodes: StepNode[]): void {
    const { stage } = this;
    stage.dragging.set(false);
    const model = stage.model.get();
    const places = new Map<string, { x: number; y: number }>();
    for (const { id, position } of nodes) {
      const parent = model.parentOf(id);
      const frame = parent === null ? undefined : model.rects.get(parent);
      places.set(id, { x: position.x + (frame?.x ?? 0), y: position.y + (frame?.y ?? 0) });
    }
    stage.edit(moved(model, places));
  }

  readonly edgePulled = (_event: unknown, edge: WireEdge): void => {
    this.pulled = edge.data?.edge;
  };

  readonly joinStarted = (_event: unknown, at: HandleAt): void => {
    const { nodeId: node, handleId: port } = at;
    if (!node || !port) return;
    const side = at.handleType === "source" ? "output" : "input";
    const { stage } = this;
    stage.joiner.set(null);
    stage.joining.set(new Joining(stage.model.get(), { node, port, side }, this.pulled));
  };

  readonly mayJoin = (connection: Connection | WireEdge): boolean => {
    const joining = this.stage.joining.get();
    const to = joining && otherEnd(joining.from, connection);
    return !!to && joining.refusal(to) === null;
  };

  readonly joinEnded = (event: MouseEvent | TouchEvent, state: FinalConnectionState): void => {
    const { stage } = this;
    const joining = stage.joining.get();
    stage.joining.set(null);
    this.pulled = undefined;
    this.joinedAt = performance.now();
    if (!joining) return;
    const handle = state.toHandle;
    if (handle?.id) {
      const side = handle.type === "source" ? "output" : "input";
      this.join(joining, { node: handle.nodeId, port: handle.id, side });
      return;
    }
    const place = "changedTouches" in event ? event.changedTouches[0] : event;
    if (!place) return;
    const below = document.elementFromPoint(place.clientX, place.clientY);
    const node = nodeAt(below)?.dataset.node;
    if (node && !stage.model.get().node(node)?.container) this.joinNode(joining, node);
    else if (below?.closest("pipeline-canvas")) this.dropOnCanvas(joining, place.clientX, place.clientY);
  };

  private join(joining: Joining, to: PortRef): void {
    const { stage } = this;
    if (joining.moved && sameEnd(joining, to)) return; // put back where it was
    const refusal = joining.refusal(to);
    if (refusal === null) {
      stage.edit(connecting(joining, to));
      stage.say(`${stage.model.get().title(to.node)}, ${to.port}: connected`);
    } else if (to.node !== joining.from.node || to.port !== joining.from.port) {
      stage.refused(refusal);
    }
  }

  /** An edge dropped on a node's body goes to the first of its ports that fits. */
  private joinNode(joining: Joining, node: string): void {
    if (node === joining.from.node) return;
    const best = joining.bestPort(node);
    if (best) return this.join(joining, best);
    const side = joining.from.side === "output" ? "input" : "output";
    const [only, more] = joining.model.ports(node, side);
    const title = joining.model.title(node);
    const one = only && !more ? joining.refusal({ node, port: only.name, side }) : null;
    this.stage.refused(one ?? `No ${side} of ${title} fits ${joining.from.port}.`);
  }

  private dropOnCanvas(joining: Joining, clientX: number, clientY: number): void {
    if (joining.moved) return this.stage.edit(disconnecting(joining.moved));
    const { x, y } = this.view.at(clientX, clientY);
    const parent = this.stage.model.get().parentOf(joining.from.node);
    this.stage.emit("request-add", { x, y, parent, near: joining.from });
  }

  /** A click on a port opens the list of what it may be joined to. */
  portClicked(at: PortRef): void {
    const recent = performance.now() - this.joinedAt < CLICK_AFTER_DRAG;
    if (recent || this.stage.readonly) return;
    this.stage.joiner.set({ node: at.node, from: at });
  }

  readonly draggedOver = (event: React.DragEvent): void => {
    if (this.stage.readonly || !event.dataTransfer.types.includes(DRAGGED_KIND)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  };

  readonly dropped = (event: React.DragEvent): void => {
    const kind = event.dataTransfer.getData(DRAGGED_KIND);
    if (!kind || this.stage.readonly) return;
    event.preventDefault();
    this.requestAdd(event.clientX, event.clientY, kind);
  };

  /** A double click opens a node; on the empty canvas, or a frame's body, it asks for a new one. */
  readonly doubleClicked = (event: React.MouseEvent): void => {
    const target = event.target as Element;
    const node = nodeAt(target)?.dataset.node;
    const empty = target.matches(".react-flow__pane, .pc-body");
    if (empty && !this.stage.readonly) this.requestAdd(event.clientX, event.clientY);
    else if (node) this.stage.emit("open", { node });
  };

  /** d3 keeps a press from moving the focus, so it is moved here. Browsers show a focus that a script
   * has set as if it came from the keyboard; the attribute tells the stylesheet that it did not. */
  readonly pressed = (event: React.PointerEvent): void => {
    const target = event.target as Element;
    target.closest("pipeline-canvas")?.toggleAttribute("data-pointer", true);
    if (target.closest("button, input, [role='listbox'], [role='dialog']")) return;
    const node = nodeAt(target);
    if (node) node.focus({ preventScroll: true });
    else this.view.focusCanvas();
  };

  private requestAdd(clientX: number, clientY: number, kind?: string): void {
    const { x, y } = this.view.at(clientX, clientY);
    const parent = this.stage.model.get().containerAt(x, y);
    this.stage.emit("request-add", { ...(kind ? { kind } : {}), x, y, parent });
  }
}

/** The node that an element lies in. The page round the canvas may use the same attribute. */
function nodeAt(element: Element | null): HTMLElement | null {
  return element?.closest<HTMLElement>(":is(.pc-node, .pc-frame)[data-node]") ?? null;
}

function otherEnd(from: PortRef, connection: Connection | WireEdge): PortRef | null {
  const { source, sourceHandle, target, targetHandle } = connection;
  const [node, port] = from.side === "output" ? [target, targetHandle] : [source, sourceHandle];
  const side = from.side === "output" ? "input" : "output";
  // React Flow puts the end that is fixed on its side, also when both ends are on the same side.
  const fixed = from.side === "output" ? source : target;
  return port && fixed === from.node ? { node, port, side } : null;
}

function sameEnd(joining: Joining, to: PortRef): boolean {
  const { moved } = joining;
  if (!moved) return false;
  return to.side === "input"
    ? moved.target === to.node && moved.target_port === to.port
    : moved.source === to.node && moved.source_port === to.port;
}
