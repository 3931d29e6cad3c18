/** One step of a run that goes on: a line for each field that it writes, with name, text and time. */

import * as figures from "../canvas/figures";
import { FieldText, Rate } from "./fieldtext";
import type { Progress } from "../canvas/types";
import { progressBar, said, state, value } from "./looks";
import type { StreamKey } from "./messages";

/** Characters of a stream that are kept on the page (all of it is on the step's page), and lines of a step. */
const KEPT = 8_000;
const LINES = 10;

export class Line {
  readonly item = said("div", "run-line stream");
  readonly text = new FieldText();
  key: StreamKey | null = null;
  private readonly rate = new Rate();
  /** What comes next was written before the page looked: it says nothing about speed. */
  replayed = false;
  closed = false;
  private settled = false;
  private first: number | undefined;
  private last = 0;
  private readonly state = said("span", "state");
  private readonly name = document.createElement("code");
  private readonly box = said("div", "text");
  private readonly words = document.createElement("span");
  private readonly figure = said("span", "figure");
  private bar: HTMLElement | null = null;

  constructor(title: string) {
    const name = said("span", "of trunc", title);
    name.title = title;
    this.box.tabIndex = 0;
    this.box.append(this.words);
    this.item.append(this.state, name, this.name, this.box, this.figure);
  }

  set field(name: string) {
    this.name.textContent = name;
    this.name.title = name;
  }

  set status(status: string) {
    this.item.dataset.status = status;
    this.state.replaceChildren(...state(status));
  }

  set live(is: boolean) {
    this.item.toggleAttribute("data-live", is);
  }

  get live(): boolean {
    return this.item.hasAttribute("data-live");
  }

  /** It is no part of the result. */
  get partial(): boolean {
    return "partial" in this.item.dataset;
  }

  /** Appends what has come since the last paint, and says it. */
  paint(now: number): string {
    const fresh = this.text.take();
    if (!fresh || this.settled) return ""; // what comes late is part of what it has settled to
    if (!this.replayed) {
      this.rate.add(now, fresh.length);
      this.first ??= now;
      this.last = now;
    }
    this.replayed = false;
    this.words.append(fresh);
    while (this.words.childNodes.length > 1 && (this.words.textContent?.length ?? 0) > KEPT) {
      this.words.firstChild?.remove();
    }
    return fresh;
  }

  /** What the field came to, in place of what was streamed. */
  settle(of: unknown): void {
    this.live = false;
    if (of === null || of === undefined) return;
    this.settled = true;
    this.words.replaceChildren(...value(of));
  }

  says(text: string, css = ""): void {
    this.words.replaceChildren(said("span", css, text));
  }

  /** Before its text, so that this stays as it is. */
  comes(progress: Progress): void {
    const bar = progressBar(progress);
    this.bar?.remove();
    this.bar = bar;
    this.box.insertBefore(bar, this.words);
  }

  /** Another field is written now. How long this one took is known when it was seen from its beginning. */
  close(): void {
    this.live = false;
    this.closed = true;
    this.status = "succeeded";
    const took = this.last - (this.first ?? this.last);
    this.figures = took > 0.05 ? figures.seconds(took) : "";
  }

  adds(nodes: Node[]): void {
    if (!nodes.length) return;
    const row = said("span", "ways");
    row.append(...nodes);
    this.words.append(row);
  }

  /** In place of the time: where it is from. */
  from(nodes: Node[]): void {
    this.figure.replaceChildren(...nodes);
  }

  set figures(text: string) {
    if (this.figure.textContent !== text) this.figure.textContent = text;
  }

  tick(now: number, elapsed: number): void {
    const rate = this.live ? Math.round(this.rate.at(now)) : 0;
    this.figures = rate > 0 ? `${rate} tok/s` : figures.seconds(elapsed);
  }

  part(why: string): void {
    this.live = false;
    this.figures = "";
    this.item.dataset.partial = "";
    this.item.title = why;
  }
}

export class Row {
  readonly item = document.createElement("li");
  readonly lines: Line[] = [];
  /** How far it has come, of a container that tells. */
  progress = "";
  status = "running";
  backend = "";
  figures = "";
  startedAt = 0;
  private readonly stops = said("span", "stops");
  private origin: Node[] = [];

  constructor(
    readonly title: string,
    readonly rank: number,
  ) {
    this.item.className = "run-step";
    this.add();
    this.set("running");
  }

  /** What is written, or was last. */
  get writes(): Line | null {
    return this.lines.findLast((line) => line.key && line.text.length && !line.partial) ?? null;
  }

  /** It begins, with the runner of this epoch; `stops` is what ends it, as long as it goes on. */
  start(at: number, stops: Node[] = [], epoch = 0): void {
    this.startedAt = at;
    this.outdate(epoch);
    this.set("running");
    this.stops.replaceChildren(...stops);
    if (stops.length) this.item.append(this.stops);
  }

  /** Its outputs are from elsewhere: where that is. */
  taken(...from: Node[]): void {
    this.origin = from;
  }

  set(status: string): void {
    this.status = status;
    this.item.dataset.status = status;
    for (const line of this.lines) {
      const done = line.closed && status === "running";
      if (!done && !line.partial) line.status = status;
    }
  }

  comes(progress: Progress): void {
    if (progress.text === this.progress) return;
    this.progress = progress.text;
    this.lines[0]?.comes(progress);
  }

  /** A person is asked. */
  asks(question: string, ways: Node[]): void {
    this.set("waiting");
    const [line] = this.lines;
    line?.says(question, "strong");
    line?.adds(ways);
  }

  answered(word: string, by: string): void {
    this.set("running");
    this.lines[0]?.says(by ? `${word} by ${by}` : word, "muted");
  }

  /** The step is over. `outputs` are its values by port; those that were aside are null. */
  end(status: string, at: number, seconds: number | null, why: string, outputs: Record<string, unknown>): void {
    for (const line of this.lines) line.live = false;
    this.stops.remove();
    const taken = this.origin.length > 0;
    if (this.backend || taken) {
      for (const [name, of] of Object.entries(outputs)) this.named(name).settle(of);
    }
    this.set(status);
    const last = this.lines.at(-1);
    if (why) (last?.key ? this.add() : last)?.says(why, status === "failed" ? "err" : "muted");
    const shown = taken ? null : seconds ?? (this.startedAt ? Math.max(0, at - this.startedAt) : null);
    this.figures = shown === null ? "" : figures.seconds(shown);
    const end = this.lines.at(-1);
    if (taken) end?.from(this.origin);
    else if (end) end.figures = this.figures;
    if (why) this.set(status);
  }

  /** Of what is live the text's rate, else how long the step takes. */
  tick(now: number): void {
    if (this.status !== "running" || !this.startedAt) return;
    const line = this.lines.find((each) => each.live) ?? this.lines.at(-1);
    line?.tick(now, Math.max(0, now - this.startedAt));
  }

  field(key: StreamKey): Line {
    const known = this.lines.find((line) => line.key && same(line.key, key));
    const line = known ?? this.fresh(key);
    if (!line.live && this.status === "running" && !line.partial) {
      for (const other of this.lines) if (other.live) other.close();
      line.live = true;
    }
    return line;
  }

  attemptFailed(attempt: number): void {
    for (const line of this.lines) {
      if (line.key?.attempt === attempt) this.partial(line, "This attempt failed");
    }
  }

  retract(attempt: number, call: number, why: string): void {
    for (const line of this.lines) {
      if (line.key?.attempt === attempt && line.key.call === call) this.partial(line, why);
    }
  }

  private fresh(key: StreamKey): Line {
    this.outdate(key.epoch);
    const line = this.lines.find((each) => !each.key) ?? this.add();
    line.key = key;
    line.field = key.field;
    while (this.lines.length > LINES) this.lines.shift()?.item.remove();
    return line;
  }

  private outdate(epoch: number): void {
    for (const line of this.lines) {
      if (line.key?.epoch && line.key.epoch < epoch) this.partial(line, "From before the run was resumed");
    }
  }

  private named(name: string): Line {
    const whole = this.lines.filter((line) => !line.partial);
    const line = whole.findLast((each) => each.key?.field === name) ?? whole.find((each) => !each.key) ?? this.add();
    line.key ??= { epoch: 0, step: "", attempt: 0, call: 0, field: name };
    line.field = name;
    return line;
  }

  private partial(line: Line, why: string): void {
    line.part(why);
    line.status = "failed";
  }

  private add(): Line {
    const line = new Line(this.title);
    line.status = this.status;
    this.lines.push(line);
    this.item.append(line.item);
    return line;
  }
}

function same(one: StreamKey, other: StreamKey): boolean {
  return (
    one.field === other.field &&
    one.call === other.call &&
    one.attempt === other.attempt &&
    one.epoch === other.epoch
  );
}
