/** What the palette offers, and which of it comes first for what somebody types. */

import type { GraphNode } from "../canvas/types";
import type { KindView } from "./types";

export interface Offer extends Pick<GraphNode, "inputs" | "outputs"> {
  /** A kind's name, or `pipeline:` with a version. */
  key: string;
  title: string;
  /** As files call it. */
  name: string;
  description: string;
  icon: string;
}

export function offerOf({ kind, kindTitle, description, icon, inputs, outputs }: KindView): Offer {
  return { key: kind, title: kindTitle, name: kind, description, icon, inputs, outputs };
}

/** Those that the text names: names that begin with it, then names that hold it, then descriptions. */
export function ranked(offers: Offer[], text: string): Offer[] {
  const wanted = text.trim().toLowerCase();
  const found = offers.flatMap((offer) => {
    const rank = rankOf(offer, wanted);
    return rank === null ? [] : [{ offer, rank }];
  });
  return found.sort((left, right) => left.rank - right.rank).map(({ offer }) => offer);
}

function rankOf({ title, name, description }: Offer, wanted: string): number | null {
  const names = [title.toLowerCase(), name.toLowerCase()];
  if (names.some((each) => each.startsWith(wanted))) return 0;
  if (names.some((each) => each.includes(wanted))) return 1;
  return description.toLowerCase().includes(wanted) ? 2 : null;
}
