/** What the live socket sends and polling answers: see docs/reference/live.md. */

export interface RunEvent {
  seq: number;
  type: string;
  at: number;
  step: string;
  attempt: number;
  data: Record<string, unknown>;
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
  | { type: "workers"; runs: unknown; pools: Pool[] }
  | { type: "error"; code: string; message: string; run?: string };

export interface Worker {
  number: number;
  state: string;
  pid: number;
  /** Empty when there is none, or when it is not the person's to see; `held` says that there is one. */
  run_id: string;
  step: string;
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
  lost: boolean;
  calls: number;
  age: number;
  at: number;
}

export interface Pool {
  pool: string;
  size: number;
  queued: number;
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
