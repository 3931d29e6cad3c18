/** Published pipelines of the project, which become nodes. They are asked for when somebody looks for
 * them, as there may be many. */

import type { GraphNode } from "../canvas/types";
import type { Offer } from "./offers";
import type { KindView } from "./types";
import { get } from "./wire";

export interface SavedPipeline extends Pick<GraphNode, "inputs" | "outputs"> {
  version: string;
  number: number;
  name: string;
  description: string;
}

interface Found {
  pipelines: SavedPipeline[];
  /** There are others, which a name finds. */
  more: boolean;
}

const KEY = "pipeline:";
const PAUSE = 150;

export class Saved {
  private turn = 0;

  constructor(private readonly address: string) {}

  /** Those whose name holds the text; null when another text was asked for meanwhile, or nobody answers. */
  async find(text: string): Promise<Found | null> {
    const turn = ++this.turn;
    if (text) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    if (turn !== this.turn) return null;
    const found = await get<Found>(`${this.address}?q=${encodeURIComponent(text)}`).catch(() => null);
    return turn === this.turn ? found : null;
  }

  /** The node that runs a version. Rejects with a reason for people where it can't be a part of this. */
  async kind(version: string): Promise<KindView> {
    const answer = await get<KindView | { message: string }>(`${this.address}${encodeURIComponent(version)}/`);
    if (!answer || "message" in answer) throw new Error(answer?.message ?? "The server has not answered.");
    return answer;
  }
}

export function offeredBy({ version, number, name, description, inputs, outputs }: SavedPipeline): Offer {
  const said = [`v${number}`, description].filter(Boolean).join(" · ");
  return { key: KEY + version, title: name, name, description: said, icon: "graph", inputs, outputs };
}

/** The version that an offer's key names; null for a kind's. */
export function versionIn(key: string): string | null {
  return key.startsWith(KEY) ? key.slice(KEY.length) : null;
}
