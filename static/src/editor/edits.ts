/** Autosave: edits go to the server one by one, in the order in which they were made. What it can't
 * take now is kept here; what it refuses is kept until its person has decided. */

import type { Keeper } from "./kept";
import type { Answer, Applied, Edit, Operation, Refused } from "./types";
import { Denied, post, Unreachable } from "./wire";

export type SaveState =
  | { is: "saved"; revision: number }
  | { is: "saving" }
  | { is: "offline"; edits: number }
  | { is: "denied"; message: string }
  | { is: "conflict"; edits: number };

/** Where an answer's revision lies: right after what this page has, further on (others have edited in
 * between), or in what it has already (the answer to a resend, or slower than the live socket). */
export type Place = "next" | "ahead" | "known";

export interface Listener {
  applied(edit: Edit, answer: Applied, place: Place): void;
  refused(edit: Edit, answer: Refused): void;
  state(state: SaveState): void;
}

const WAITS = [1_000, 2_000, 5_000, 10_000, 30_000];

export class Edits {
  queue: Edit[] = [];
  held: { edit: Edit; answer: Refused }[] = [];
  private sending = false;
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private waiting: (() => void)[] = [];
  private denied: string | null = null;
  /** Revisions that this page has made. */
  private readonly mine = new Set<number>();

  constructor(
    private readonly address: string,
    private readonly keeper: Keeper,
    /** What this page shows has everything up to this one. */
    public revision: number,
    private readonly listener: Listener,
  ) {
    addEventListener("online", () => this.retryNow());
  }

  /** Takes up what was kept from before. */
  async restore(): Promise<void> {
    const kept = await this.keeper.restore();
    this.queue.unshift(...kept.queue);
    this.held = kept.refused;
    for (const { edit, answer } of this.held) this.listener.refused(edit, answer);
    this.tell();
    void this.drain();
  }

  /** `base` is the revision that the edit's person saw, if that is older than the page. */
  add(
    operation: Operation,
    { id, drawn, base }: { id?: string; drawn?: boolean; base?: number | undefined } = {},
  ): string {
    const last = this.queue.at(-1);
    if (last?.operation && this.isFree(last) && merges(last.operation, operation)) {
      last.operation = operation;
      this.changed();
      return last.id;
    }
    return this.push({ id: id ?? crypto.randomUUID(), base: base ?? this.revision, operation, drawn });
  }

  /** Takes an operation back by its id. */
  undo(undoes: string): string {
    return this.push({ id: crypto.randomUUID(), base: this.revision, undoes });
  }

  /** Resolves when everything is on the server; rejects when it can't be. */
  settled(): Promise<void> {
    if (!this.queue.length) return Promise.resolve();
    if (this.denied) return Promise.reject(new Error(this.denied));
    this.retryNow();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Whether the live socket tells of what this page has sent itself. */
  isMine(id: string, revision: number): boolean {
    return this.mine.has(revision) || this.queue.some((edit) => edit.id === id);
  }

  /** The person has decided about a refused edit. `mine`: put it on top of what is there now. */
  decide(id: string, mine: boolean): void {
    const place = this.held.findIndex(({ edit }) => edit.id === id);
    const [found] = place < 0 ? [] : this.held.splice(place, 1);
    if (found && mine && found.edit.operation) this.add(found.edit.operation);
    this.changed();
  }

  private push(edit: Edit): string {
    this.queue.push(edit);
    this.changed();
    return edit.id;
  }

  private changed(): void {
    this.keeper.save({ queue: this.queue, refused: this.held });
    this.tell();
    void this.drain();
  }

  /** Whether an edit can still be changed: it has not been sent. */
  private isFree(edit: Edit): boolean {
    return !(this.sending && this.queue[0] === edit);
  }

  private async drain(): Promise<void> {
    if (this.sending || this.timer !== undefined || this.denied) return;
    this.sending = true;
    try {
      for (let edit = this.queue[0]; edit; edit = this.queue[0]) {
        const { id, base, operation, undoes } = edit;
        const body = undoes ? { id, undoes } : { id, base_revision: base, operation };
        this.take(edit, await post<Answer>(this.address, body));
        this.failures = 0;
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.sending = false;
    }
    this.tell();
    if (!this.queue.length) for (const resolve of this.waiting.splice(0)) resolve();
  }

  private take(edit: Edit, answer: Answer): void {
    if (answer.status === "refused" && this.onlyMine(edit, answer)) {
      edit.base = answer.revision;
      return;
    }
    this.queue.shift();
    if (answer.status === "applied") {
      const { revision } = answer;
      const place = revision <= this.revision ? "known" : revision === this.revision + 1 ? "next" : "ahead";
      this.mine.add(revision);
      // Later edits were made on top of this one; but if others came between, not on top of theirs.
      for (const later of this.queue) if (later.base === revision - 1) later.base = revision;
      if (place === "next") this.revision = revision;
      this.listener.applied(edit, answer, place);
    } else {
      this.held.push({ edit, answer });
      this.listener.refused(edit, answer);
    }
    this.keeper.save({ queue: this.queue, refused: this.held });
  }

  /** All that is in the way was done on this page, before this edit. */
  private onlyMine(edit: Edit, answer: Refused): boolean {
    const mine = answer.conflicts.every((conflict) => this.mine.has(conflict.revision));
    return answer.code === "conflict" && mine && edit.base < answer.revision && !edit.undoes;
  }

  private fail(error: unknown): void {
    if (error instanceof Denied) {
      this.denied = error.message;
      return;
    }
    if (!(error instanceof Unreachable)) throw error;
    const wait = WAITS[Math.min(this.failures++, WAITS.length - 1)];
    this.timer = setTimeout(() => this.retryNow(), wait);
  }

  private retryNow(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    void this.drain();
  }

  private tell(): void {
    if (this.denied) this.listener.state({ is: "denied", message: this.denied });
    else if (this.timer !== undefined) this.listener.state({ is: "offline", edits: this.queue.length });
    else if (this.queue.length) this.listener.state({ is: "saving" });
    else if (this.held.length) this.listener.state({ is: "conflict", edits: this.held.length });
    else this.listener.state({ is: "saved", revision: this.revision });
  }
}

/** Typing on in one field is one edit until it is sent. */
function merges(before: Operation, after: Operation): boolean {
  if (before.op !== after.op) return false;
  if ((before.op === "set_config" || before.op === "set_policy") && "field" in after) {
    return before.node === after.node && before.field === after.field;
  }
  if (before.op === "describe") return Object.keys(before).join() === Object.keys(after).join();
  return before.op === "rename" && "label" in after && before.node === after.node;
}
