/** Undo and redo, for this tab: what one did here, back to when the page was opened. */

import type { Edits } from "./edits";
import type { Operation } from "./types";

interface Entry {
  ids: string[];
  /** Edits of one field that follow each other quickly are one step. */
  field: string;
  at: number;
}

const TOGETHER = 3_000;
const LONGEST = 500;

export class History {
  private done: Entry[] = [];
  private undone: Entry[] = [];

  constructor(
    private readonly edits: Edits,
    private readonly changed: (canUndo: boolean, canRedo: boolean) => void,
  ) {}

  note(id: string, operation: Operation): void {
    const field = fieldOf(operation);
    const at = Date.now();
    const last = this.done.at(-1);
    if (last && field && last.field === field && at - last.at < TOGETHER) {
      if (!last.ids.includes(id)) last.ids.push(id);
      last.at = at;
    } else {
      this.done.push({ ids: [id], field, at });
    }
    if (this.done.length > LONGEST) this.done.shift();
    this.undone = [];
    this.tell();
  }

  undo(): void {
    this.step(this.done, this.undone);
  }

  redo(): void {
    this.step(this.undone, this.done);
  }

  /** An edit that was refused has not happened. */
  forget(id: string): void {
    for (const entries of [this.done, this.undone]) {
      for (const entry of entries) entry.ids = entry.ids.filter((other) => other !== id);
    }
    this.done = this.done.filter((entry) => entry.ids.length);
    this.undone = this.undone.filter((entry) => entry.ids.length);
    this.tell();
  }

  /** A redo is the taking back of what took back. */
  private step(from: Entry[], to: Entry[]): void {
    const entry = from.pop();
    if (!entry) return;
    const ids = entry.ids.toReversed().map((id) => this.edits.undo(id));
    to.push({ ids, field: "", at: 0 });
    this.tell();
  }

  private tell(): void {
    this.changed(this.done.length > 0, this.undone.length > 0);
  }
}

function fieldOf(operation: Operation): string {
  if (operation.op === "set_config" || operation.op === "set_policy") {
    return `${operation.op} ${operation.node} ${operation.field}`;
  }
  return operation.op === "rename" ? `rename ${operation.node}` : "";
}
