/** Which key means what. Copy, cut and paste are not here: the browser's own events bring them. */

import type { Direction } from "./walk";

export type Action =
  | { do: "walk"; way: Direction }
  | { do: "move"; way: Direction; by: "dots" | "snap" }
  | { do: "step"; by: 1 | -1 }
  | { do: "first" | "last" | "toggle" | "open" | "remove" | "all" | "escape" | "duplicate" }
  | { do: "undo" | "redo" | "run" | "run-step" | "run-from" | "rename" | "connect" | "add" }
  | { do: "fit" | "fit-selection" | "reset-zoom" | "zoom-in" | "zoom-out" };

export interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  altKey: boolean;
}

const ARROWS: Record<string, Direction> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

const PLAIN: Record<string, Action> = {
  Home: { do: "first" },
  End: { do: "last" },
  Enter: { do: "open" },
  " ": { do: "toggle" },
  Delete: { do: "remove" },
  Backspace: { do: "remove" },
  Escape: { do: "escape" },
  F2: { do: "rename" },
  c: { do: "connect" },
  l: { do: "connect" },
  a: { do: "add" },
  "1": { do: "fit" },
  "0": { do: "reset-zoom" },
  ".": { do: "fit-selection" },
  "+": { do: "zoom-in" },
  "=": { do: "zoom-in" },
  "-": { do: "zoom-out" },
};

const WITH_MOD: Record<string, Action> = {
  a: { do: "all" },
  d: { do: "duplicate" },
  z: { do: "undo" },
  y: { do: "redo" },
  Enter: { do: "run" },
  "1": { do: "fit" },
  "0": { do: "reset-zoom" },
  "+": { do: "zoom-in" },
  "=": { do: "zoom-in" },
  "-": { do: "zoom-out" },
};

const WITH_MOD_AND_SHIFT: Record<string, Action> = {
  z: { do: "redo" },
  Enter: { do: "run-from" },
};

const EDITS = new Set(["move", "remove", "duplicate", "undo", "redo", "rename", "connect", "add"]);

/** What a key asks for, or null. Mod is Ctrl, and on a Mac also Cmd. */
export function actionOf(event: Key): Action | null {
  if (event.altKey) return null;
  const mod = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const way = ARROWS[key];
  if (way) {
    if (event.shiftKey) return { do: "move", way, by: "dots" };
    return mod ? { do: "move", way, by: "snap" } : { do: "walk", way };
  }
  if (key === "Tab") return mod ? null : { do: "step", by: event.shiftKey ? -1 : 1 };
  if (mod) {
    if (event.shiftKey) return WITH_MOD_AND_SHIFT[key] ?? null;
    return WITH_MOD[key] ?? null;
  }
  if (event.shiftKey) {
    if (key === "Enter") return { do: "run-step" };
    // "+" is typed with Shift on many keyboards; letters with Shift are the page's.
    return key === "+" ? { do: "zoom-in" } : null;
  }
  return PLAIN[key] ?? null;
}

/** Whether an action changes the graph, which a read-only canvas refuses. */
export function isEdit(action: Action): boolean {
  return EDITS.has(action.do);
}

/** Whether the person is typing, so that no key is ours. */
export function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  if (!element?.closest) return false;
  return !!element.closest("input, textarea, select, code-editor, [contenteditable]:not([contenteditable='false'])");
}
