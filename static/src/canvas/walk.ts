/** Walking the graph by keys: along edges where there are some, else to what lies that way. */

import type { Rect } from "./measures";
import type { Model } from "./model";

export type Direction = "left" | "right" | "up" | "down";

/** The next node from here, or null at the border. */
export function neighbour(model: Model, from: string, way: Direction): string | null {
  if (way === "right" || way === "left") {
    const joined =
      way === "right"
        ? model.edgesFrom(from).map((edge) => edge.target)
        : model.edgesInto(from).map((edge) => edge.source);
    const first = nearest(model, from, joined);
    if (first) return first;
  }
  const others = model.order.filter((id) => id !== from && lies(model, from, id, way));
  return nearest(model, from, others);
}

/** The node before or after this one in the order of flow, or null at the end. */
export function following(model: Model, from: string | null, step: 1 | -1): string | null {
  const at = from === null ? -1 : model.order.indexOf(from);
  if (from === null) return model.order[step === 1 ? 0 : model.order.length - 1] ?? null;
  return model.order[at + step] ?? null;
}

function nearest(model: Model, from: string, ids: readonly string[]): string | null {
  const here = centre(model.rects.get(from));
  let best: string | null = null;
  let least = Infinity;
  for (const id of ids) {
    const there = centre(model.rects.get(id));
    const distance = Math.hypot(there.x - here.x, there.y - here.y);
    if (distance >= least) continue;
    least = distance;
    best = id;
  }
  return best;
}

/** Whether a node lies more that way than aside. */
function lies(model: Model, from: string, to: string, way: Direction): boolean {
  const here = centre(model.rects.get(from));
  const there = centre(model.rects.get(to));
  const along = way === "left" || way === "right" ? there.x - here.x : there.y - here.y;
  const aside = way === "left" || way === "right" ? there.y - here.y : there.x - here.x;
  const ahead = way === "left" || way === "up" ? -along : along;
  return ahead > 0 && ahead >= Math.abs(aside) / 2;
}

function centre(rect: Rect | undefined): { x: number; y: number } {
  return rect ? { x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 } : { x: 0, y: 0 };
}
