/** One step of a run that goes on: its state, and what its calls have written, field by field. */

import { glyph } from "../site/toasts";
import * as figures from "../canvas/figures";
import type { StreamKey } from "./messages";

/** Characters of a stream that are kept on the page; all of it is on the step's page. */
const KEPT = 8_000;

export const GLYPHS: Record<string, string> = {
  queued: "queued",
  running: "running",
  waiting: "waiting",
  suspended: "waiting",
  cancelling: "running",
  succeeded: "ok",
  failed: "failed",
  cancelled: "cancelled",
  skipped: "skipped",
};

export class Field {
  length = 0;
  private waiting = "";
  readonly box = document.createElement("div");
  private readonly text = document.createElement("span");

  constructor(readonly key: StreamKey) {
    const name = document.createElement("code");
    name.textContent = key.field;
    const clip = document.createElement("div");
    clip.className = "text";
    clip.append(this.text);
    this.box.className = "stream";
    this.box.append(name, clip);
  }

  /** False when what comes before this piece is missing. */
  add(offset: number, text: string): boolean {
    if (offset > this.length) return false;
    const fresh = text.slice(this.length - offset);
    this.waiting += fresh;
    this.length += fresh.length;
    return true;
  }

  /** Appends what has come since the last paint, and says it. */
  paint(): string {
    const fresh = this.waiting;
    if (!fresh) return "";
    this.waiting = "";
    this.text.append(fresh);
    while (this.text.childNodes.length > 1 && (this.text.textContent?.length ?? 0) > KEPT) {
      this.text.firstChild?.remove();
    }
    return fresh;
  }

  part(why: string): void {
    this.box.dataset.partial = "";
    this.box.title = why;
  }
}

export class Row {
  readonly item = document.createElement("li");
  readonly fields = new Map<string, Field>();
  status = "running";
  private readonly state = document.createElement("span");
  private readonly backend = document.createElement("span");
  private readonly figures = document.createElement("span");
  private readonly streams = document.createElement("div");
  private startedAt = 0;

  constructor(title: string) {
    const name = document.createElement("span");
    name.className = "trunc strong";
    name.textContent = title;
    const head = document.createElement("div");
    head.className = "row";
    this.state.className = "state";
    this.backend.className = "be";
    this.backend.hidden = true;
    this.figures.className = "figures";
    head.append(this.state, name, this.backend, this.figures);
    this.item.append(head, this.streams);
    this.set("running");
  }

  start(at: number): void {
    this.startedAt = at;
    this.set("running");
    this.figures.textContent = "";
  }

  set(status: string): void {
    this.status = status;
    this.item.dataset.status = status;
    const said = document.createElement("span");
    said.className = "sr";
    said.textContent = status;
    this.state.replaceChildren(glyph(GLYPHS[status] ?? "queued"), said);
  }

  routed(backend: string): void {
    this.backend.hidden = !["native", "dspy"].includes(backend);
    this.backend.dataset.be = backend;
    this.backend.textContent = backend;
  }

  came(words: string[]): void {
    this.figures.textContent = words.filter(Boolean).join(" · ");
  }

  tick(now: number): void {
    if (this.status === "running" && this.startedAt) {
      this.figures.textContent = figures.seconds(Math.max(0, now - this.startedAt));
    }
  }

  field(key: StreamKey): Field {
    const id = `${key.epoch}/${key.attempt}/${key.call}/${key.field}`;
    let field = this.fields.get(id);
    if (!field) {
      field = new Field(key);
      for (const other of this.fields.values()) {
        if (other.key.epoch < key.epoch) other.part("From before the run was resumed");
      }
      this.fields.set(id, field);
      this.streams.append(field.box);
    }
    return field;
  }

  attemptFailed(attempt: number): void {
    for (const field of this.fields.values()) {
      if (field.key.attempt === attempt) field.part("This attempt failed");
    }
  }

  retract(attempt: number, call: number, why: string): void {
    for (const field of this.fields.values()) {
      if (field.key.attempt === attempt && field.key.call === call) field.part(why);
    }
  }
}
