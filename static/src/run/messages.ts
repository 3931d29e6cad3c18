/** What the live socket sends and polling answers: see docs/reference/live.md. */

export interface RunEvent {
  seq: number;
  type: string;
  at: number;
  step: string;
  attempt: number;
  data: Record<string, unknown>;
  /** Where in `data` a null stands for a large value. */
  artifacts?: Record<string, string>;
}

export interface StreamKey {
  epoch: number;
  step: string;
  attempt: number;
  call: number;
  field: string;
}

export interface Chunk extends StreamKey {
  offset: number;
  text: string;
}

export interface StreamText extends StreamKey {
  text: string;
  open: boolean;
}

export interface Since {
  status: string;
  events: RunEvent[];
  seq: number;
  more: boolean;
  streams: StreamText[];
}

export type Frame =
  | { type: "hello"; protocol: number }
  | { type: "mark"; n: number }
  | { type: "events"; run: string; events: RunEvent[] }
  | { type: "chunks"; run: string; chunks: Chunk[] }
  | { type: "streams"; run: string; streams: StreamText[] }
  | { type: "caught_up"; run: string; seq: number; status: string }
  | ({ type: "workers" } & Told)
  | { type: "error"; code: string; message: string; run?: string };

/** What one runner tells of its pools. */
export interface Told {
  runner: string;
  runs: number;
  pools: Pool[];
}

/** A step at work; empty where it is not the person's to see. */
export interface Work {
  run_id: string;
  step: string;
}

export interface Worker {
  number: number;
  state: string;
  /** Why it is to do no further step; empty when it is not. */
  retiring: string;
  answers: boolean;
  sessions: number;
  pid: number;
  /** How many steps it can do at once. */
  threads: number;
  /** Those at work in it. */
  steps: Work[];
  /** The run that keeps it. Empty when there is none, or when it is not the person's to see; `held` says
   * that it has one, or a step. */
  run_id: string;
  held: boolean;
  calls: number;
  age: number;
  /** Bytes; null where the system does not say. */
  memory: number | null;
}

/** A worker that is no more. */
export interface Ended {
  number: number;
  pid: number;
  why: string;
  reason: string;
  lost: boolean;
  calls: number;
  age: number;
  at: number;
}

/** A crash that still counts; `left` is seconds. */
export interface Taint {
  worker: number;
  reason: string;
  left: number;
}

export interface Pool {
  pool: string;
  size: number;
  threads: number;
  state: "ok" | "degraded" | "broken";
  why: string;
  draining: boolean;
  reuse: boolean;
  affinity: string;
  queued: number;
  queue_limit: number;
  queue_timeout: number;
  breaker: "closed" | "open" | "half_open";
  failing: number;
  opens_in: number;
  sessions: number;
  session_limit: number;
  tainted: Taint[];
  calls: number;
  lost: number;
  started: number;
  workers: Worker[];
  /** Calls of each `span` seconds, the oldest first. */
  recent: number[];
  span: number;
  /** The last one first. */
  ends: Ended[];
}

export const FINAL = new Set(["succeeded", "failed", "cancelled"]);
