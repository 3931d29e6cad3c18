/** What every part of one canvas shares. None of it is ever exchanged, so nothing is drawn anew. */

import { createContext, useContext } from "react";
import type { Commands } from "./commands";
import type { Gestures } from "./gestures";
import type { Stage } from "./stage";
import type { View } from "./view";

export interface Parts {
  stage: Stage;
  view: View;
  gestures: Gestures;
  commands: Commands;
}

export const PartsContext = createContext<Parts | null>(null);
/** Too far away for text to be read; nodes and edges are drawn as sketches. */
export const FarContext = createContext(false);

export function useParts(): Parts {
  const parts = useContext(PartsContext);
  if (!parts) throw new Error("This component stands outside a canvas.");
  return parts;
}
