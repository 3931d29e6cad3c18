/** What a run does to the nodes: status, time, tokens and the text that is being written.
 *
 * It arrives more often than it can be painted, so it is gathered and painted some sixty times a
 * second, the first piece at once; a paint that takes long puts off the next one. Every node has a
 * signal of its own; text does not go through React at all, but is appended to the one element that
 * shows it.
 */

import { Signal } from "./signal";
import type { Progress, Status, StepPatch } from "./types";

export interface Step {
  status: Status | null;
  seconds: number | null;
  tokens: number | null;
  cost: number | null;
  field: string | null;
  note: string | null;
  progress: Progress | null;
  /** Something has been written in this run. */
  written: boolean;
}

export interface Screen {
  append(text: string): void;
  replace(text: string): void;
}

export interface Change {
  node: string;
  step: Step;
  before: Step;
}

export const NO_STEP: Step = Object.freeze({
  status: null,
  seconds: null,
  tokens: null,
  cost: null,
  field: null,
  note: null,
  progress: null,
  written: false,
});
const ENDED: ReadonlySet<Status> = new Set(["succeeded", "cached", "failed", "cancelled", "skipped"]);
/** Characters kept of a stream: many times what a node has room for. */
const KEPT = 4_000;

export class Live {
  /** Milliseconds between two paints, and between two of the clocks. */
  paintEvery = 15;
  clocksEvery = 100;
  /** Called after each paint with the steps whose status or field is another. */
  onChanges: (changes: Change[]) => void = () => {};
  private readonly watchers = new Set<() => void>();
  private readonly steps = new Map<string, Signal<Step>>();
  private readonly streams = new Map<string, Stream>();
  private readonly started = new Map<string, number>();
  private readonly clocks = new Map<string, (seconds: number) => void>();
  private patches = new Map<string, StepPatch>();
  private readonly unpainted = new Set<Stream>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due = Infinity;
  private painted = -Infinity;
  private ticked = -Infinity;

  step(node: string): Signal<Step> {
    let signal = this.steps.get(node);
    if (!signal) {
      signal = new Signal(NO_STEP);
      this.steps.set(node, signal);
    }
    return signal;
  }

  stream(node: string): Stream {
    let stream = this.streams.get(node);
    if (!stream) {
      stream = new Stream();
      this.streams.set(node, stream);
    }
    return stream;
  }

  status(patches: Record<string, StepPatch>): void {
    for (const [node, patch] of Object.entries(patches)) this.patch(node, patch);
  }

  chunk(node: string, field: string, text: string): void {
    const stream = this.stream(node);
    stream.write(field, text);
    this.unpainted.add(stream);
    this.patch(node, { field });
  }

  /** Forgets the run that was shown. */
  clear(): void {
    clearTimeout(this.timer);
    this.due = Infinity;
    this.patches.clear();
    this.unpainted.clear();
    this.started.clear();
    for (const stream of this.streams.values()) stream.clear();
    for (const signal of this.steps.values()) signal.set(NO_STEP);
    for (const changed of this.watchers) changed();
  }

  /** The run has ended: what still waits will not be done in it. */
  end(): void {
    for (const [node, signal] of this.steps) {
      const patched = this.patches.get(node)?.status;
      if ((patched ?? signal.get().status) === "queued") this.patch(node, { status: null });
    }
  }

  /** Calls `show` with the running seconds of a node until the returned function is called. */
  clock(node: string, show: (seconds: number) => void): () => void {
    this.clocks.set(node, show);
    show(this.secondsOf(node));
    this.schedule(this.ticked + this.clocksEvery);
    return () => {
      if (this.clocks.get(node) === show) this.clocks.delete(node);
    };
  }

  /** Calls `changed` after every paint in which a status changed. */
  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  private patch(node: string, patch: StepPatch): void {
    const before = this.patches.get(node);
    const known = before?.status ?? this.step(node).get().status;
    const starts = patch.status === "queued" || patch.status === "running";
    // What had ended starts anew and has nothing of the attempt before. Text may come before the
    // word that its step has begun, so in any other state it stays.
    const anew = starts && known !== null && ENDED.has(known);
    this.patches.set(node, before && !anew ? { ...before, ...patch } : patch);
    if (anew) this.show(node, "", "");
    if (patch.text !== undefined) this.show(node, patch.field ?? this.stream(node).field, patch.text);
    this.schedule();
  }

  private show(node: string, field: string, text: string): void {
    const stream = this.stream(node);
    stream.show(field, text);
    this.unpainted.add(stream);
  }

  private schedule(due = this.painted + this.paintEvery): void {
    if (this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.paint(), Math.max(0, due - performance.now()));
  }

  private paint(): void {
    this.due = Infinity;
    this.painted = performance.now();
    const changes: Change[] = [];
    const patches = this.patches;
    this.patches = new Map();
    for (const [node, patch] of patches) this.apply(node, patch, changes);
    for (const stream of this.unpainted) stream.paint();
    this.unpainted.clear();
    if (this.painted >= this.ticked + this.clocksEvery) this.tick();
    if (changes.length) {
      this.onChanges(changes);
      for (const changed of this.watchers) changed();
    }
    if (this.clocks.size) this.schedule(this.ticked + this.clocksEvery);
  }

  private tick(): void {
    this.ticked = this.painted;
    for (const [node, show] of this.clocks) show(this.secondsOf(node));
  }

  private apply(node: string, patch: StepPatch, changes: Change[]): void {
    const signal = this.step(node);
    const before = signal.get();
    const step = stepAfter(before, patch, this.stream(node).tail !== "");
    if (step.status === "running") {
      if (before.status !== "running" || patch.seconds != null) {
        this.started.set(node, performance.now() - (patch.seconds ?? 0) * 1000);
      }
    } else this.started.delete(node);
    signal.set(step);
    if (step.status !== before.status || step.field !== before.field) {
      changes.push({ node, step, before });
    }
  }

  private secondsOf(node: string): number {
    const started = this.started.get(node);
    return started === undefined
      ? (this.step(node).get().seconds ?? 0)
      : (performance.now() - started) / 1000;
  }
}

function stepAfter(before: Step, patch: StepPatch, written: boolean): Step {
  const { text: _text, ...known } = patch;
  const base = patch.status === "queued" ? NO_STEP : before;
  const step: Step = { ...base, ...known, written };
  // While a step runs its seconds are counted here; keeping the sent ones would draw it anew.
  if (step.status === "running") step.seconds = null;
  if (step.progress?.text === before.progress?.text) step.progress = before.progress;
  const same = (Object.keys(step) as (keyof Step)[]).every((key) => step[key] === before[key]);
  return same ? before : step;
}

/** The text of one node: the tail that is kept, what is not yet painted, and where it is shown. */
export class Stream {
  field = "";
  tail = "";
  private fresh = "";
  private restarted = false;
  private screen: Screen | null = null;

  write(field: string, text: string): void {
    if (field !== this.field) this.show(field, "");
    this.tail = kept(this.tail + text);
    this.fresh += text;
  }

  show(field: string, text: string): void {
    this.field = field;
    this.tail = kept(text);
    this.fresh = "";
    this.restarted = true;
  }

  clear(): void {
    this.show("", "");
    this.paint();
  }

  /** The element that shows the text from now on; null when there is none. */
  showOn(screen: Screen | null): void {
    this.screen = screen;
    this.restarted = true;
    this.paint();
  }

  paint(): void {
    if (!this.screen) return;
    if (this.restarted) this.screen.replace(this.tail);
    else if (this.fresh) this.screen.append(this.fresh);
    this.restarted = false;
    this.fresh = "";
  }
}

function kept(text: string): string {
  return text.length > 2 * KEPT ? text.slice(-KEPT) : text;
}
