/** How far maps, reduces and loops have come, told by the run's events alone: how often the body of one runs
 * and how many steps it has stand in its beginning; an item is done when that many of its steps have ended.
 * The run's page counts the same from rows (`runner/views/progress.py`). */

import type { Progress } from "../canvas/types";
import type { RunEvent } from "./messages";

const ITEM = /^(.+)\[(\d+)\]\/[^/]+$/;

interface Container {
  times: number;
  steps: number;
  loops: boolean;
  /** The steps of each body that have ended. */
  ended: Map<number, Set<string>>;
  done: Set<number>;
  failed: Set<number>;
  /** Bodies that have begun, counted up to the last one. */
  begun: number;
}

export class Progresses {
  private readonly containers = new Map<string, Container>();

  /** Those of a node, in a map that runs it for each item. */
  private readonly paths = new Map<string, string[]>();

  /** The container whose progress may be another after this event; empty where there is none. */
  take(event: RunEvent): string {
    const { type, step, data } = event;
    if (type === "step_started" && typeof data.times === "number") this.begin(step, data);
    if (type === "trace" && data.name === "item_failed") {
      this.containers.get(step)?.failed.add(Number(data.index));
      return this.containers.has(step) ? step : "";
    }
    const [, path = "", index] = ITEM.exec(step) ?? [];
    const container = this.containers.get(path);
    if (container && type.startsWith("step_")) {
      count(container, Number(index), event);
      return path;
    }
    return this.containers.has(step) && type === "step_started" ? step : "";
  }

  of(path: string): Progress | null {
    const known = this.containers.get(path);
    if (!known) return null;
    const failed = known.failed.size;
    if (known.loops) return { done: known.begun, total: known.times, failed, text: `Round ${known.begun} of ${known.times}` };
    return counted(new Set([...known.done, ...known.failed]).size, known.times, failed);
  }

  /** Of a node: that of its container, or of several together, as a map in a map has them. The rounds of
   * several loops are nothing that can be counted together. */
  ofNode(node: string): Progress | null {
    const paths = this.paths.get(node) ?? [];
    const all = paths.flatMap((path) => this.of(path) ?? []);
    if (all.length < 2) return all[0] ?? null;
    if (paths.some((path) => this.containers.get(path)?.loops)) return null;
    const sum = (of: (each: Progress) => number) => all.reduce((so, each) => so + of(each), 0);
    return counted(sum(({ done }) => done), sum(({ total }) => total), sum(({ failed }) => failed));
  }

  private begin(path: string, data: RunEvent["data"]): void {
    const known = this.containers.get(path);
    if (known) return known.failed.clear(); // what fails again is told again
    const node = path.slice(path.lastIndexOf("/") + 1);
    this.paths.set(node, [...(this.paths.get(node) ?? []), path]);
    this.containers.set(path, {
      times: Number(data.times),
      steps: Number(data.steps),
      loops: data.kind === "loop",
      ended: new Map(),
      done: new Set(),
      failed: new Set(),
      begun: 0,
    });
  }
}

function count(container: Container, index: number, { type, step, data }: RunEvent): void {
  container.begun = Math.max(container.begun, index + 1);
  const ended = container.ended.get(index) ?? new Set();
  container.ended.set(index, ended);
  if (isEnd(type, data)) ended.add(step);
  else if (type === "step_started") ended.delete(step);
  if (ended.size >= container.steps) container.done.add(index);
  else container.done.delete(index);
}

/** A step that was cut off, by the run's end or for want of what a person must mend, is done again. */
function isEnd(type: string, data: RunEvent["data"]): boolean {
  if (type === "step_cancelled") return !!data.failure;
  return type === "step_succeeded" || type === "step_skipped" || (type === "step_failed" && !data.suspends);
}

function counted(done: number, total: number, failed: number): Progress {
  return { done, total, failed, text: `${done} of ${total}${failed ? `, ${failed} failed` : ""}` };
}
