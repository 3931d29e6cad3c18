/** <run-live data-run data-since-url>: a run while it goes on. Its steps write into it; a
 * <pipeline-canvas> on the page is told the same. Page parts that the server draws ask anew on its
 * `run-changed`, which comes once a second at most. */

import * as figures from "../canvas/figures";
import type { PipelineCanvas } from "../canvas/element";
import type { StepPatch } from "../canvas/types";
import { glyph } from "../site/toasts";
import { RunFeed } from "./feed";
import { FINAL, type Chunk, type RunEvent, type StreamText } from "./messages";
import { GLYPHS, Row } from "./row";

const PAINT = 100;
const CHANGED = 1_000;
/** Steps that are listed while they run; all of them are on the run's page. */
const ROWS = 200;
/** Characters of an output that the panel shows. */
const SHOWN = 4_000;
const WORDS: Record<string, string> = { cancelling: "Stopping", cancelled: "Stopped" };

interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cost?: number;
}

export class RunLive extends HTMLElement {
  private feed: RunFeed | null = null;
  private readonly rows = new Map<string, Row>();
  private readonly list = document.createElement("ol");
  private readonly touched = new Set<Row>();
  private titles: Record<string, string> = {};
  private patches: Record<string, StepPatch> = {};
  private painting: ReturnType<typeof setTimeout> | undefined;
  private telling: ReturnType<typeof setTimeout> | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private state = "queued";
  /** What scrolls round it, and whether the reader is at its end. */
  private scroller: Element | null = null;
  private follows = true;
  private readonly scrolled = (): void => {
    const { scroller } = this;
    if (scroller) this.follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24;
  };

  connectedCallback(): void {
    if (this.feed) return;
    const titles = document.getElementById(this.dataset.titles ?? "")?.textContent;
    if (titles) this.titles = JSON.parse(titles) as Record<string, string>;
    this.list.className = "run-steps";
    if (!this.querySelector("[data-part=connection]")) {
      const place = said("p", "muted small", "", "status");
      place.dataset.part = "connection";
      this.append(place);
    }
    this.append(this.list);
    if (this.inPanel) this.canvas?.clearStatus();
    this.feed = new RunFeed(this.dataset.run ?? "", this.dataset.sinceUrl ?? "", {
      event: (event) => this.take(event),
      chunk: (chunk) => this.chunk(chunk),
      stream: (stream) => this.stream(stream),
      connection: (word) => this.connection(word),
      status: (status) => this.status(status),
    });
    this.scroller = this.closest(".scroll");
    this.scroller?.addEventListener("scroll", this.scrolled, { passive: true });
    this.ticking = setInterval(() => this.tick(), PAINT * 2);
  }

  disconnectedCallback(): void {
    this.feed?.stop();
    this.feed = null;
    this.scroller?.removeEventListener("scroll", this.scrolled);
    clearInterval(this.ticking);
    clearTimeout(this.painting);
    clearTimeout(this.telling);
  }

  private get inPanel(): boolean {
    return "panel" in this.dataset;
  }

  private get canvas(): PipelineCanvas | null {
    return document.querySelector<PipelineCanvas>("pipeline-canvas");
  }

  // What comes in

  private take(event: RunEvent): void {
    if (event.type === "run_started") this.status("running");
    else if (event.type === "run_finished") this.finished(event.data);
    else if (event.step) this.stepEvent(event);
    this.paintSoon();
  }

  private finished(data: RunEvent["data"]): void {
    this.status(String(data.status));
    if (!this.inPanel) return; // the page says it by itself
    const failure = data.failure as { message?: string } | null;
    if (failure?.message) this.append(said("p", "err", failure.message, "alert"));
    for (const [name, value] of Object.entries((data.outputs ?? {}) as Record<string, unknown>)) {
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
      const place = document.createElement("section");
      place.append(said("code", "strong", name), said("pre", "codebox", text.slice(0, SHOWN)));
      this.append(place);
    }
  }

  private stepEvent(event: RunEvent): void {
    const row = this.row(event.step);
    const { data } = event;
    switch (event.type) {
      case "step_started":
        row?.start(event.at);
        this.patch(event.step, { status: "running", seconds: null, tokens: null, cost: null, text: "" });
        break;
      case "step_routed":
        row?.routed(String(data.backend));
        break;
      case "retract":
        row?.retract(event.attempt, Number(data.call), "Not part of the result");
        this.patch(event.step, { text: "" });
        break;
      case "attempt_failed":
        row?.attemptFailed(event.attempt);
        this.patch(event.step, { text: "" });
        break;
      case "step_succeeded":
      case "step_failed":
      case "step_cancelled":
      case "step_skipped":
        this.stepEnded(event, row, event.type.slice("step_".length));
    }
    if (event.type.startsWith("step_")) this.changedSoon();
  }

  private stepEnded(event: RunEvent, row: Row | null, status: string): void {
    const usage = (event.data.usage ?? {}) as Usage;
    const seconds = typeof event.data.seconds === "number" ? event.data.seconds : null;
    const tokens = (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
    const failure = event.data.failure as { message?: string } | undefined;
    row?.set(status);
    row?.came([
      seconds === null ? "" : figures.seconds(seconds),
      tokens ? figures.tokens(tokens) : "",
      usage.cost ? figures.cost(usage.cost) : "",
      failure?.message ?? String(event.data.cause ?? ""),
    ]);
    this.patch(event.step, {
      status: status as NonNullable<StepPatch["status"]>,
      seconds,
      tokens: tokens || null,
      cost: usage.cost ?? null,
    });
  }

  private chunk(chunk: Chunk): boolean {
    const row = this.row(chunk.step);
    if (!row) return true;
    const whole = row.field(chunk).add(chunk.offset, chunk.text);
    this.touched.add(row);
    this.paintSoon();
    return whole;
  }

  private stream(stream: StreamText): void {
    const row = this.row(stream.step);
    row?.field(stream).add(0, stream.text);
    if (row) this.touched.add(row);
    this.paintSoon();
  }

  private row(path: string): Row | null {
    let row = this.rows.get(path);
    if (!row && this.rows.size < ROWS) {
      row = new Row(this.titles[node(path)] ?? path);
      this.rows.set(path, row);
      this.list.append(row.item);
    }
    return row ?? null;
  }

  private patch(path: string, patch: StepPatch): void {
    const id = node(path);
    this.patches[id] = { ...this.patches[id], ...patch };
  }

  private status(status: string): void {
    if (status === this.state) return;
    this.state = status;
    this.changedSoon();
    this.tell();
    if (FINAL.has(status)) this.dataset.ended = status;
  }

  // What goes out

  private paintSoon(): void {
    this.painting ??= setTimeout(() => {
      this.painting = undefined;
      this.paint();
    }, PAINT);
  }

  private paint(): void {
    const { canvas } = this;
    if (this.inPanel) canvas?.status(this.patches);
    this.patches = {};
    for (const row of this.touched) {
      for (const field of row.fields.values()) {
        const fresh = field.paint();
        if (fresh && this.inPanel) canvas?.chunk(node(field.key.step), field.key.field, fresh);
      }
    }
    this.touched.clear();
    if (this.scroller && this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  private tick(): void {
    const now = Date.now() / 1000;
    if (FINAL.has(this.state)) return;
    for (const row of this.rows.values()) row.tick(now);
    for (const each of document.querySelectorAll<HTMLElement>("[data-since]")) {
      each.textContent = figures.seconds(Math.max(0, now - Number(each.dataset.since)));
    }
  }

  private changedSoon(): void {
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      this.dispatchEvent(new CustomEvent("run-changed", { bubbles: true, detail: { status: this.state } }));
    }, CHANGED);
  }

  private tell(): void {
    const word = WORDS[this.state] ?? this.state.charAt(0).toUpperCase() + this.state.slice(1);
    const said = document.createElement("span");
    said.textContent = word;
    const places = [this.querySelector("[data-part=status]")];
    if (this.inPanel) places.push(document.getElementById("run-status"));
    for (const place of places) {
      place?.classList.add("status");
      place?.replaceChildren(glyph(GLYPHS[this.state] ?? "queued"), said.cloneNode(true));
    }
    const stop = this.querySelector<HTMLButtonElement>("[data-part=stop]");
    if (stop && this.state === "cancelling") stop.disabled = true;
    if (stop && FINAL.has(this.state)) stop.remove();
  }

  private connection(word: string): void {
    const place = this.querySelector("[data-part=connection]");
    if (place && place.textContent !== word) place.textContent = word;
  }
}

function said(tag: string, css: string, text: string, role = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = css;
  made.textContent = text;
  if (role) made.setAttribute("role", role);
  return made;
}

/** The node of a step: the last part of its path, `each[3]/retrieve`. */
function node(path: string): string {
  return (path.split("/").at(-1) ?? path).replace(/\[\d+\]$/, "");
}

if (!customElements.get("run-live")) customElements.define("run-live", RunLive);
