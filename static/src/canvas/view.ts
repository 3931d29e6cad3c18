/** What part of the canvas is seen, and where the focus is. */

import type { ReactFlowInstance } from "@xyflow/react";
import type { StepNode, WireEdge } from "./flow";
import { boundsOf, type Rect } from "./measures";
import type { Stage } from "./stage";
import { SNAP } from "./types";

export interface Viewport {
  x: number;
  y: number;
  zoom: number;
}

export const MIN_ZOOM = 0.05;
export const MAX_ZOOM = 2;
/** Below this zoom a node's text can't be read, so it is drawn as a sketch. */
export const FAR = 0.5;
const MARGIN = 32;
/** Below a graph that is fitted there is room for the bar. */
const BELOW = 56;
const ZOOM_STEP = 1.25;

export class View {
  flow: ReactFlowInstance<StepNode, WireEdge> | null = null;

  constructor(
    private readonly stage: Stage,
    readonly host: HTMLElement,
  ) {}

  /** The whole graph, or some nodes, as large as fits and no larger than they are. */
  fit(ids?: readonly string[]): void {
    const viewport = this.fitting(ids);
    if (viewport) void this.flow?.setViewport(viewport);
  }

  fitting(ids?: readonly string[]): Viewport | null {
    const { rects } = this.stage.model.get();
    const chosen = ids?.length ? ids.flatMap((id) => rects.get(id) ?? []) : rects.values();
    return fitted(boundsOf(chosen), this.host.clientWidth, this.host.clientHeight);
  }

  zoomBy(steps: number): void {
    const zoom = (this.flow?.getZoom() ?? 1) * ZOOM_STEP ** steps;
    this.zoomTo(zoom);
  }

  zoomTo(zoom: number): void {
    void this.flow?.zoomTo(Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, zoom)));
  }

  /** The place on the canvas under a place in the window. */
  at(clientX: number, clientY: number): { x: number; y: number } {
    const place = this.flow?.screenToFlowPosition({ x: clientX, y: clientY }) ?? { x: 0, y: 0 };
    return { x: snapped(place.x), y: snapped(place.y) };
  }

  centre(): { x: number; y: number } {
    const box = this.host.getBoundingClientRect();
    return this.at(box.left + box.width / 2, box.top + box.height / 2);
  }

  /** Brings a node into sight with the least movement. */
  reveal(id: string): void {
    const rect = this.stage.model.get().rects.get(id);
    const viewport = this.flow?.getViewport();
    if (!rect || !viewport) return;
    const x = shift(rect.x * viewport.zoom + viewport.x, rect.width * viewport.zoom, this.host.clientWidth);
    const y = shift(rect.y * viewport.zoom + viewport.y, rect.height * viewport.zoom, this.host.clientHeight);
    if (!x && !y) return;
    void this.flow?.setViewport({ x: viewport.x + x, y: viewport.y + y, zoom: viewport.zoom });
  }

  /** Selects a node, brings it into sight and puts the focus on it. */
  focus(id: string): void {
    if (!this.stage.model.get().nodes.has(id)) return;
    this.stage.select([id]);
    this.reveal(id);
    // A node that was out of sight is in the page only after the next paint or two.
    const attempt = (left: number) => {
      const element = this.elementOf(id);
      if (element) element.focus({ preventScroll: true });
      else if (left) requestAnimationFrame(() => attempt(left - 1));
    };
    attempt(10);
  }

  focusCanvas(): void {
    this.host.querySelector<HTMLElement>(".react-flow")?.focus({ preventScroll: true });
  }

  /** The node that has the focus. */
  focused(): string | null {
    const root = this.host.getRootNode() as Document | ShadowRoot;
    const node = root.activeElement?.closest<HTMLElement>("[data-node]");
    return node && this.host.contains(node) ? (node.dataset.node ?? null) : null;
  }

  elementOf(id: string): HTMLElement | null {
    return this.host.querySelector<HTMLElement>(`[data-node="${CSS.escape(id)}"]`);
  }
}

export function fitted(bounds: Rect, width: number, height: number): Viewport | null {
  if (!width || !height) return null;
  if (!bounds.width || !bounds.height) return { x: width / 2, y: height / 2, zoom: 1 };
  const room = Math.min((width - 2 * MARGIN) / bounds.width, (height - MARGIN - BELOW) / bounds.height);
  const zoom = Math.min(1, Math.max(MIN_ZOOM, room));
  return {
    x: Math.round(width / 2 - (bounds.x + bounds.width / 2) * zoom),
    y: Math.round((height + MARGIN - BELOW) / 2 - (bounds.y + bounds.height / 2) * zoom),
    zoom,
  };
}

export function snapped(value: number): number {
  return Math.round(value / SNAP) * SNAP;
}

/** How far to pan so that a stretch lies within the room; its start if it is longer. */
function shift(start: number, length: number, room: number): number {
  if (start < MARGIN || length > room - 2 * MARGIN) return MARGIN - start;
  return Math.min(0, room - MARGIN - (start + length));
}
