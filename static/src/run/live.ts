/** <run-live data-run data-since-url>: a run while it goes on. Its steps write into it; a
 * <pipeline-canvas> on the page is told the same. Page parts that the server draws ask anew on its
 * `run-changed`, which comes at once, and then once a second at most. */

import * as figures from "../canvas/figures";
import type { PipelineCanvas } from "../canvas/element";
import type { GraphNode, StepPatch } from "../canvas/types";
import { csrfToken } from "../site/requests";
import { toast } from "../site/toasts";
import { RunFeed } from "./feed";
import { EndOf, Follow } from "./follow";
import { Going } from "./going";
import { given, NodeTexts, reached, waiting, within } from "./nodestates";
import { said, word } from "./looks";
import { FINAL, type Chunk, type RunEvent, type StreamKey, type StreamText } from "./messages";
import { Progresses } from "./progress";
import { type Line, Row } from "./row";
import { Results, Summary, type Outline } from "./summary";

/** Milliseconds between two paints; more where painting takes long, so that it takes a quarter of the
 * time at most. And between two looks at the clock. */
const PAINT = 15;
const SHARE = 4;
/** Milliseconds of style, layout and paint that a line costs in the frame that shows it, about. */
const FRAME = 0.25;
const TICK = 200;
const CHANGED = 1_000;
/** Steps that are listed while they run; all of them are on the run's page. */
const ROWS = 200;
const CANVAS = "pipeline-canvas";
/** In place of a run: a person said what the outputs are. */
const PINNED = "pinned";
/** What a person decided about a step in doubt. */
const DECIDED: Record<string, string> = {
  happened: "It happened",
  again: "Do it again",
  failed: "It failed",
};

interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cost?: number;
}

export class RunLive extends HTMLElement {
  private feed: RunFeed | null = null;
  private readonly rows = new Map<string, Row>();
  /** LM calls of a step, and how many of them were answered from the cache. */
  private readonly calls = new Map<string, { all: number; hits: number }>();
  private readonly list = said("ol", "run-steps");
  private readonly touched = new Set<Row>();
  /** Nodes whose text may be another than the one that the canvas shows. */
  private readonly turned = new Set<string>();
  private outline: Outline = { titles: {}, order: [], steps: [], outputs: [] };
  private summary: Summary | null = null;
  private results: Results | null = null;
  private patches: Record<string, StepPatch> = {};
  private readonly going = new Going();
  private readonly progress = new Progresses();
  private readonly texts = new NodeTexts(this.rows, this.going);
  private epoch = 1;
  private due = -Infinity;
  private painting: ReturnType<typeof setTimeout> | undefined;
  private telling: ReturnType<typeof setTimeout> | undefined;
  private told = -Infinity;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private state = "queued";
  private scroller: Element | null = null;
  private follow: Follow | null = null;
  private readonly scrolled = (): void => this.follow?.scrolled();
  /** The list of steps is drawn while it is looked at. */
  private readonly listed = (): void => this.paintSoon();

  connectedCallback(): void {
    if (this.feed) return;
    if (this.inPanel && !customElements.get(CANVAS)) {
      // A run that goes on when the editor is opened: the canvas's script may come later than this one.
      void customElements.whenDefined(CANVAS).then(() => this.isConnected && this.connectedCallback());
      return;
    }
    const outline = document.getElementById(this.dataset.outline ?? "")?.textContent;
    if (outline) this.outline = JSON.parse(outline) as Outline;
    this.draw();
    if (this.inPanel) {
      this.canvas?.clearStatus();
      this.canvas?.status(waiting(this.nodes, this.outline.part));
    }
    this.feed = new RunFeed(this.dataset.run ?? "", this.dataset.sinceUrl ?? "", {
      event: (event) => this.take(event),
      chunk: (chunk) => this.chunk(chunk),
      stream: (stream) => this.stream(stream),
      connection: (word) => this.connection(word),
      status: (status) => this.status(status),
    });
    this.ticking = setInterval(() => this.tick(), TICK);
  }

  disconnectedCallback(): void {
    this.feed?.stop();
    this.feed = null;
    this.scroller?.removeEventListener("scroll", this.scrolled);
    document.getElementById("tab-steps")?.removeEventListener("click", this.listed);
    clearInterval(this.ticking);
    clearTimeout(this.painting);
    clearTimeout(this.telling);
  }

  private draw(): void {
    const connection = said("p", "connection muted small", "", "status");
    connection.dataset.part = "connection";
    const below = said("button", "btn sm below");
    below.hidden = true;
    this.append(connection, this.list);
    if (this.inPanel) {
      this.summary = new Summary(this.outline, this.dataset.url ?? "", this.dataset.name ?? "");
      this.summary.status(this.state);
      this.results = new Results(this.outline);
      this.append(this.results.list);
    }
    this.append(below);
    this.scroller = this.closest(".scroll, aside");
    if (!this.scroller) return;
    this.follow = new Follow(new EndOf(this.scroller, this), (lines) => {
      below.hidden = lines < 1;
      below.textContent = lines === 1 ? "1 new line" : `${lines} new lines`;
    });
    document.getElementById("tab-steps")?.addEventListener("click", this.listed);
    this.list.addEventListener("click", ({ target }) => open(target as Element));
    this.list.addEventListener("keydown", ({ key, target }) => {
      if (key === "Enter" && (target as Element).matches(".text")) open(target as Element);
    });
    below.addEventListener("click", () => this.follow?.resume());
    this.scroller.addEventListener("scroll", this.scrolled, { passive: true });
  }

  private get inPanel(): boolean {
    return "panel" in this.dataset;
  }

  private get canvas(): PipelineCanvas | null {
    return document.querySelector<PipelineCanvas>(CANVAS);
  }

  private get nodes(): GraphNode[] {
    return this.canvas?.graph.nodes ?? [];
  }

  // What comes in

  private take(event: RunEvent): void {
    if (event.type === "run_started") {
      this.dataset.started ??= String(event.at);
      if (typeof event.data.epoch === "number") this.epoch = event.data.epoch;
      if (event.data.inputs) Object.assign(this.patches, given(this.nodes, event, this.outline.part));
      this.status("running");
    } else if (event.type === "run_finished") this.finished(event.data);
    else if (event.step) this.stepEvent(event);
    this.summary?.take(event, event.step ? this.titleOf(event.step) : "");
    this.paintSoon();
  }

  private finished(data: RunEvent["data"]): void {
    const status = String(data.status);
    if (this.inPanel && FINAL.has(status)) {
      const failure = data.failure as { message?: string } | null;
      const css = status === "cancelled" ? "second" : "err"; // what people stop is no failure
      if (failure?.message) this.list.after(said("p", css, failure.message, "alert"));
      this.results?.ended(status, (data.outputs ?? {}) as Record<string, unknown>);
    }
    this.status(status);
  }

  private stepEvent(event: RunEvent): void {
    const row = this.row(event.step);
    const { data } = event;
    this.turned.add(node(event.step));
    switch (event.type) {
      case "step_started": {
        this.calls.delete(event.step);
        row?.start(event.at, this.stopping(event.step), this.epoch);
        this.going.begin(node(event.step), event.step);
        const seconds = age(event.at);
        this.patch(event.step, { status: "running", seconds, tokens: null, cost: null });
        break;
      }
      case "step_waiting":
        row?.asks(String(data.question ?? ""), this.asking(event.step, "begun" in data));
        this.patch(event.step, { status: "waiting" });
        break;
      case "step_answered":
        row?.answered(
          DECIDED[String(data.decision)] ?? (data.approved ? "Approved" : "Rejected"),
          String(data.by ?? ""),
        );
        this.patch(event.step, { status: "running" });
        break;
      case "step_routed":
        if (row) row.backend = ["native", "dspy"].includes(String(data.backend)) ? String(data.backend) : "";
        break;
      case "lm_call":
        this.called(event);
        break;
      case "retract":
        row?.retract(event.attempt, Number(data.call), "Not part of the result");
        break;
      case "attempt_failed":
        row?.attemptFailed(event.attempt);
        break;
      case "step_succeeded":
      case "step_failed":
      case "step_cancelled":
      case "step_skipped":
        this.stepEnded(event, row, event.type.slice("step_".length));
    }
    this.progressed(event);
    if (event.type.startsWith("step_")) this.changedSoon();
  }

  /** A map, reduce or loop has come further: its node tells of all its steps, the row of its own. */
  private progressed(event: RunEvent): void {
    const path = this.progress.take(event);
    const own = path && this.progress.of(path);
    if (!own) return;
    this.rows.get(path)?.comes(own);
    this.patch(path, { progress: this.progress.ofNode(node(path)) });
  }

  /** What answers a step that waits: here if one may, else on the run's page. */
  private asking(path: string, decides: boolean): Node[] {
    const { answerUrl, url } = this.dataset;
    if (!answerUrl) return [];
    const say = (label: string, approved: string) => {
      const button = said("button", "btn sm", label) as HTMLButtonElement;
      button.addEventListener("click", () => {
        button.disabled = true;
        void answer(answerUrl, path, approved).then((done) => (button.disabled = done));
      });
      return button;
    };
    const more = said("a", "", "Look closer") as HTMLAnchorElement;
    more.href = `${url}?step=${encodeURIComponent(path)}`;
    // What to decide takes more than a button.
    return decides ? [more] : [say("Reject", "no"), say("Approve", "yes"), more];
  }

  /** Where outputs are from that are not the step's own. */
  private origin(run: string): Node[] {
    if (run === PINNED) return [document.createTextNode("pinned")];
    const link = said("a", "", `run ${run.slice(-6)}`) as HTMLAnchorElement;
    link.href = (this.dataset.url ?? "").replace(this.dataset.run ?? "", run);
    return [link];
  }

  /** What stops a step, where one may. */
  private stopping(path: string): Node[] {
    const { stopUrl } = this.dataset;
    if (!stopUrl) return [];
    const button = said("button", "btn quiet sm", "Stop") as HTMLButtonElement;
    button.setAttribute("aria-label", `Stop ${this.titleOf(path)}`);
    button.addEventListener("click", () => {
      button.disabled = true;
      void stop(stopUrl, path).then((done) => (button.disabled = done));
    });
    return [button];
  }

  private called(event: RunEvent): void {
    const count = this.calls.get(event.step) ?? { all: 0, hits: 0 };
    count.all += 1;
    if (event.data.source === "response_cache") count.hits += 1;
    this.calls.set(event.step, count);
  }

  private stepEnded(event: RunEvent, row: Row | null, ended: string): void {
    const usage = (event.data.usage ?? {}) as Usage;
    const seconds = typeof event.data.seconds === "number" ? event.data.seconds : null;
    const tokens = (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
    const failure = event.data.failure as { message?: string } | undefined;
    const calls = this.calls.get(event.step);
    const origin = String(event.data.taken_from ?? "");
    const cached = ended === "succeeded" && (!!origin || (!!calls && calls.hits === calls.all));
    const status = cached ? "cached" : ended;
    const outputs = (event.data.outputs ?? {}) as Record<string, unknown>;
    if (origin) row?.taken(...this.origin(origin));
    row?.end(status, event.at, seconds, failure?.message ?? String(event.data.cause ?? ""), outputs);
    this.texts.ended(node(event.step), event.step);
    if (this.going.end(node(event.step), event.step)) return; // the node goes on with other items
    this.patch(event.step, {
      status: status as NonNullable<StepPatch["status"]>,
      seconds: origin ? null : seconds,
      note: origin === PINNED ? "pinned" : null,
      tokens: tokens || null,
      cost: usage.cost ?? null,
    });
  }

  private chunk(chunk: Chunk): boolean {
    return this.write(chunk, chunk.offset, chunk.text, false);
  }

  private stream(stream: StreamText): void {
    this.write(stream, 0, stream.text, true);
  }

  private write(key: StreamKey, offset: number, text: string, replayed: boolean): boolean {
    const row = this.row(key.step);
    if (!row) return true;
    const line = row.field(key);
    line.replayed ||= replayed;
    const whole = line.text.add(offset, text);
    this.touched.add(row);
    this.turned.add(node(key.step));
    this.paintSoon();
    return whole;
  }

  private row(path: string): Row | null {
    let row = this.rows.get(path);
    if (!row && this.rows.size < ROWS) {
      const rank = this.outline.order.indexOf(node(path.split("/")[0] ?? path));
      row = new Row(this.titleOf(path), rank < 0 ? this.outline.order.length : rank);
      const own: Place = [path, row];
      const next = [...this.rows].filter((each) => inOrder(own, each) < 0).sort(inOrder)[0];
      this.rows.set(path, row);
      this.list.insertBefore(row.item, next?.[1].item ?? null);
    }
    return row ?? null;
  }

  /** The node's title, with its place in the innermost container: `Retrieve 4`. */
  private titleOf(path: string): string {
    const index = /\[(\d+)\]\/[^/]*$/.exec(path)?.[1];
    const title = this.outline.titles[node(path)] ?? node(path);
    return index === undefined ? title : `${title} ${Number(index) + 1}`;
  }

  private patch(path: string, patch: StepPatch): void {
    const id = node(path);
    this.patches[id] = { ...this.patches[id], ...patch };
    if (patch.status) Object.assign(this.patches, within(this.nodes, id, patch.status));
  }

  private status(status: string): void {
    // What was read while the run ended may be older than its last event.
    if (status === this.state || FINAL.has(this.state)) return;
    this.state = status;
    if (status === "succeeded") Object.assign(this.patches, reached(this.nodes, this.outline.part));
    if (FINAL.has(status)) {
      this.dataset.ended = status;
      const runs = this.querySelector("[data-part=runs]");
      if (runs) runs.textContent = "ran this";
    }
    this.changedSoon();
    this.tell();
    this.paintSoon();
  }

  // What goes out

  private paintSoon(): void {
    this.painting ??= setTimeout(() => {
      this.painting = undefined;
      this.paint();
    }, Math.max(0, this.due - performance.now()));
  }

  private paint(): void {
    const begin = performance.now();
    const now = Date.now() / 1_000;
    const fresh = new Map<Line, string>();
    for (const line of [...this.touched].flatMap((row) => row.lines)) fresh.set(line, line.paint(now));
    this.touched.clear();
    if (this.inPanel) this.paintNodes(fresh);
    this.summary?.list(this.rows);
    this.summary?.status(this.state);
    // Hidden by the step that somebody reads it must not scroll what that shows.
    if (this.checkVisibility()) this.follow?.grew(); // reads the layout, which is most of the cost
    const end = performance.now();
    const work = end - begin + fresh.size * FRAME;
    this.due = Math.max(begin + PAINT, end + (SHARE - 1) * work);
  }

  /** What is new goes to the canvas: states, and the text of each node. */
  private paintNodes(fresh: Map<Line, string>): void {
    const { canvas, patches } = this;
    const more: [string, string, string][] = [];
    for (const id of this.turned) {
      const { line, follows } = this.texts.next(id);
      const field = line?.key?.field ?? null;
      const text = line && fresh.get(line);
      if (!follows) patches[id] = { ...patches[id], field, text: line?.text.tail ?? "" };
      else if (field && text) more.push([id, field, text]);
    }
    this.turned.clear();
    this.patches = {};
    canvas?.status(patches);
    for (const [id, field, text] of more) canvas?.chunk(id, field, text);
    if (FINAL.has(this.state)) canvas?.endStatus();
  }

  private tick(): void {
    const now = Date.now() / 1_000;
    if (FINAL.has(this.state)) return;
    for (const row of this.rows.values()) row.tick(now);
    for (const each of document.querySelectorAll<HTMLElement>("[data-since]")) {
      each.textContent = figures.seconds(Math.max(0, now - Number(each.dataset.since)));
    }
  }

  private changedSoon(): void {
    const wait = Math.max(0, this.told + CHANGED - performance.now());
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      this.told = performance.now();
      const detail = { run: this.dataset.run, status: this.state };
      this.dispatchEvent(new CustomEvent("run-changed", { bubbles: true, detail }));
    }, wait);
  }

  private tell(): void {
    const place = this.querySelector("[data-part=status]");
    if (place) place.textContent = word(this.state);
    this.summary?.status(this.state);
  }

  private connection(word: string): void {
    const place = this.querySelector("[data-part=connection]");
    if (place && place.textContent !== word) place.textContent = word;
  }
}

type Place = [path: string, row: Row];
const { compare } = new Intl.Collator("en", { numeric: true });

/** As the graph is read, and items by their number, whichever began first. */
function inOrder([path, one]: Place, [otherPath, other]: Place): number {
  return one.rank - other.rank || compare(path, otherPath);
}

/** Finished text settles to one line; a click shows all of it. */
function open(target: Element): void {
  if (target.closest("a, button") || getSelection()?.toString()) return;
  target.closest(".run-line:not([data-live])")?.toggleAttribute("data-open");
}

async function stop(url: string, path: string): Promise<boolean> {
  const headers = { "X-CSRFToken": csrfToken() };
  const body = new URLSearchParams({ path });
  const came = await fetch(url, { method: "POST", body, headers }).catch(() => null);
  if (!came?.ok) toast("The step was not stopped: it may have ended already.", "failed");
  return came?.ok ?? false;
}

/** Whether the answer got there. */
async function answer(url: string, path: string, approved: string): Promise<boolean> {
  const body = new URLSearchParams({ path, approved });
  const headers = { "X-CSRFToken": csrfToken() };
  const came = await fetch(url, { method: "POST", body, headers }).catch(() => null);
  if (!came?.ok) toast("The answer was not taken. Open the run to see why.", "failed");
  return came?.ok ?? false;
}

/** How long ago a step began that was under way when the page came; of one that begins now, nothing. */
function age(at: number): number | null {
  const seconds = Date.now() / 1_000 - at;
  return seconds > 1 ? seconds : null;
}

/** The node of a step: the last part of its path, `each[3]/retrieve`. */
function node(path: string): string {
  return (path.split("/").at(-1) ?? path).replace(/\[\d+\]$/, "");
}

if (!customElements.get("run-live")) customElements.define("run-live", RunLive);
