/** The editor's keys when the focus is not in the canvas, which has its own. */

import { isTyping } from "../site/shortcuts";

export interface Commands {
  undo(): void;
  redo(): void;
  save(): void;
  run(): void;
  add(): void;
  rename(): void;
  remove(): void;
  duplicate(): void;
  toggleDrawer(): void;
  fit(): void;
}

export function keys(commands: Commands): void {
  document.addEventListener("keydown", (event) => {
    const does = commandOf(event);
    if (!does || document.querySelector("dialog:modal")) return;
    event.preventDefault();
    commands[does]();
  });
}

/** What a key means here; null: nothing, or what the browser makes of it. */
export function commandOf(event: KeyboardEvent): keyof Commands | null {
  if (event.defaultPrevented || event.altKey) return null;
  return event.ctrlKey || event.metaKey ? withMod(event) : plain(event);
}

function withMod(event: KeyboardEvent): keyof Commands | null {
  const key = event.key.toLowerCase();
  // These two are meant while typing, too.
  if (key === "s") return "save";
  if (key === "enter") return "run";
  if (isTyping(event.target)) return null;
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  if (key === "y") return "redo";
  return key === "d" ? "duplicate" : null;
}

function plain(event: KeyboardEvent): keyof Commands | null {
  const target = event.target as Element;
  if (event.key === "F2") return "rename";
  if (isTyping(target) || target.closest("button, a, [role=separator]")) return null;
  switch (event.key) {
    case "a":
      return "add";
    case "Delete":
    case "Backspace":
      return "remove";
    case "j":
      return "toggleDrawer";
    case "1":
      return "fit";
    default:
      return null;
  }
}
