/** What stands beside the name: saved, saving, offline, or a conflict. */

import { glyph, sprite } from "../site/toasts";
import type { SaveState } from "./edits";

const QUIET = 250;

export class SaveStateText {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly element: HTMLElement | null) {}

  show(state: SaveState): void {
    clearTimeout(this.timer);
    // What is saved at once needs no word about it.
    if (state.is === "saving") this.timer = setTimeout(() => this.write(state), QUIET);
    else this.write(state);
  }

  private write(state: SaveState): void {
    const { element } = this;
    if (!element) return;
    const good = state.is === "saved" || state.is === "saving";
    element.className = good ? "status muted" : "status fg";
    element.dataset.st = good ? "" : "warn";
    element.dataset.state = state.is;
    const mark = state.is === "saved" ? check() : good ? null : glyph("warn");
    element.replaceChildren(...(mark ? [mark] : []), wording(state));
  }
}

/** The state in words. */
export function wording(state: SaveState): string {
  switch (state.is) {
    case "saved":
      return `Saved · rev ${state.revision}`;
    case "saving":
      return "Saving";
    case "offline":
      return `Offline, ${state.edits} ${state.edits === 1 ? "edit" : "edits"} kept here`;
    case "denied":
      return state.message;
    case "conflict":
      return `Conflict, ${state.edits} of your edits kept here`;
  }
}

function check(): SVGSVGElement {
  const svg = glyph("ok");
  svg.setAttribute("class", "i s");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.querySelector("use")?.setAttribute("href", `${sprite()}#i-check`);
  return svg;
}
