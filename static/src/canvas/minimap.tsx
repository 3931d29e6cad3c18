/** The whole graph in small, with what part of it is seen. Drawn by hand at most ten times a second:
 * React Flow's own asks every node at every step of a drag, and knows nothing of a run. */

import { useStoreApi } from "@xyflow/react";
import { memo, useEffect, useRef } from "react";
import { useParts } from "./context";
import { glyphOf } from "./glyphs";
import { boundsOf, type Rect } from "./measures";
import type { Stage } from "./stage";

const WIDTH = 168;
const HEIGHT = 104;
const MARGIN = 8;
/** Room for footers, in which nothing is drawn until something runs. */
const FOOTERS = 28;
const DRAW_EVERY = 100;
const SVG = "http://www.w3.org/2000/svg";

export const Minimap = memo(function Minimap() {
  const { stage, view } = useParts();
  const flow = useStoreApi();
  const svg = useRef<SVGSVGElement>(null);
  const map = useRef<Drawing | null>(null);

  useEffect(() => {
    const drawing = new Drawing(svg.current as SVGSVGElement, stage, () => {
      const { transform, width, height } = flow.getState();
      const [x, y, zoom] = transform;
      return { x: -x / zoom, y: -y / zoom, width: width / zoom, height: height / zoom };
    });
    map.current = drawing;
    const stops = [
      flow.subscribe(drawing.later),
      stage.nodes.subscribe(drawing.later),
      stage.live.watch(drawing.later),
      drawing.stop,
    ];
    drawing.later();
    return () => stops.forEach((stop) => stop());
  }, [flow, stage]);

  const go = (event: React.PointerEvent) => {
    if (event.type === "pointermove" && !event.buttons) return;
    if (event.type === "pointerdown") event.currentTarget.setPointerCapture(event.pointerId);
    const box = (svg.current as SVGSVGElement).getBoundingClientRect();
    const place = map.current?.place(event.clientX - box.left, event.clientY - box.top);
    if (place) void view.flow?.setCenter(place.x, place.y, { zoom: view.flow.getZoom() });
  };

  return (
    <svg
      ref={svg}
      className="pc-minimap"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label="Minimap"
      onPointerDown={go}
      onPointerMove={go}
    >
      <g />
      <rect className="pc-view" rx={3} />
    </svg>
  );
});

class Drawing {
  private readonly rects = new Map<string, SVGRectElement>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawn = -Infinity;
  private left = 0;
  private top = 0;
  private scale = 1;

  constructor(
    private readonly svg: SVGSVGElement,
    private readonly stage: Stage,
    private readonly seen: () => Rect,
  ) {}

  readonly later = (): void => {
    if (this.timer !== undefined) return;
    const rest = this.drawn + DRAW_EVERY - performance.now();
    this.timer = setTimeout(() => this.draw(), Math.max(0, rest));
  };

  readonly stop = (): void => {
    clearTimeout(this.timer);
    this.timer = undefined;
  };

  /** The place on the canvas that a place in the map stands for. */
  place(x: number, y: number): { x: number; y: number } {
    return { x: this.left + x / this.scale, y: this.top + y / this.scale };
  }

  private draw(): void {
    this.timer = undefined;
    this.drawn = performance.now();
    const nodes = this.places();
    const seen = this.seen();
    const graph = boundsOf(nodes.values());
    // What is all in view needs no map, which would only cover some of it.
    this.svg.toggleAttribute("data-idle", within(graph, { ...seen, height: seen.height + FOOTERS }));
    const all = boundsOf([graph, seen]);
    this.scale = Math.min((WIDTH - 2 * MARGIN) / all.width, (HEIGHT - 2 * MARGIN) / all.height);
    this.left = all.x - (WIDTH / this.scale - all.width) / 2;
    this.top = all.y - (HEIGHT / this.scale - all.height) / 2;
    const [group, frame] = this.svg.children as unknown as [SVGGElement, SVGRectElement];
    for (const [id, rect] of this.rects) {
      if (nodes.has(id)) continue;
      rect.remove();
      this.rects.delete(id);
    }
    for (const [id, place] of nodes) this.put(this.rectOf(id, group), place);
    this.put(frame, seen);
  }

  /** Where nodes are now, also while they are dragged. */
  private places(): Map<string, Rect> {
    const places = new Map<string, Rect>();
    for (const { id, parentId, position, width, height } of this.stage.nodes.get()) {
      const frame = parentId === undefined ? undefined : places.get(parentId);
      const x = position.x + (frame?.x ?? 0);
      const y = position.y + (frame?.y ?? 0);
      places.set(id, { x, y, width: width ?? 0, height: height ?? 0 });
    }
    return places;
  }

  private rectOf(id: string, group: SVGGElement): SVGRectElement {
    let rect = this.rects.get(id);
    if (!rect) {
      rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("rx", "1.5");
      group.append(rect);
      this.rects.set(id, rect);
    }
    const { status } = this.stage.live.step(id).get();
    set(rect, "data-st", status ? glyphOf(status) : "");
    set(rect, "data-frame", this.stage.model.get().node(id)?.container ? "yes" : "");
    return rect;
  }

  private put(rect: SVGRectElement, place: Rect): void {
    set(rect, "x", ((place.x - this.left) * this.scale).toFixed(1));
    set(rect, "y", ((place.y - this.top) * this.scale).toFixed(1));
    set(rect, "width", Math.max(1, place.width * this.scale).toFixed(1));
    set(rect, "height", Math.max(1, place.height * this.scale).toFixed(1));
  }
}

function within(inner: Rect, outer: Rect): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  );
}

function set(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
