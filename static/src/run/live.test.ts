/** What the canvas and the panel show of a run is the same for who was there all the time and for who came
 * later, whenever that was. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Live } from "../canvas/live";
import type { Chunk, Frame, RunEvent, StreamText } from "./messages";
import { FakeElement, fakeDocument } from "./testing";

const IN_EACH = ["input_2", "fetch", "output_2"];
const NODES = ["input", "each", ...IN_EACH, "write", "after", "output"].map((id) => ({
  id,
  kind: /^(in|out)put/.exec(id) ? id.replace("_2", "") : "predict",
  parent: IN_EACH.includes(id) ? "each" : null,
}));
const OUTLINE = { titles: {}, order: NODES.map(({ id }) => id), steps: ["each", "write", "after"], outputs: [] };

class FakeSocket {
  static OPEN = 1;
  static last: FakeSocket;
  onmessage: (message: { data: string }) => void = () => {};
  constructor() {
    FakeSocket.last = this;
  }
  send(): void {}
  close(): void {}
}

/** One page: its canvas, and the <run-live> in its panel. */
class Shown {
  readonly live = new Live();
  private readonly panel: FakeElement;
  private readonly socket: FakeSocket;

  private constructor(panel: FakeElement) {
    this.live.paintEvery = 0;
    const { live } = this;
    const canvas = {
      graph: { nodes: NODES },
      clearStatus: () => live.clear(),
      endStatus: () => live.end(),
      status: live.status.bind(live),
      chunk: live.chunk.bind(live),
    };
    fakeDocument({ "pipeline-canvas": canvas, outline: { textContent: JSON.stringify(OUTLINE) } });
    this.panel = panel;
    Object.assign(panel.dataset, { run: "r", outline: "outline", panel: "" });
    (panel as unknown as { connectedCallback(): void }).connectedCallback();
    this.socket = FakeSocket.last;
  }

  static async open(): Promise<Shown> {
    const { RunLive } = await import("./live");
    return new Shown(new (RunLive as unknown as new () => FakeElement)());
  }

  send(frame: Frame): void {
    this.socket.onmessage({ data: JSON.stringify(frame) });
  }

  tell(...frames: Frame[]): void {
    for (const frame of frames) this.send(frame);
    mock.timers.tick(50);
    mock.timers.tick(50); // the canvas paints after the panel has told it
  }

  close(): void {
    (this.panel as unknown as { disconnectedCallback(): void }).disconnectedCallback();
  }

  /** Whatever there is to see of the run. */
  get all(): unknown {
    const nodes = NODES.map(({ id }) => {
      const step = this.live.step(id).get();
      return [id, step, step.status === "running" || step.status === "cancelled" ? this.live.stream(id).tail : ""];
    });
    return [nodes, this.panel.children.map(said)];
  }

  text(node: string): string {
    return this.live.stream(node).tail;
  }

  status(node: string): string | null {
    return this.live.step(node).get().status;
  }
}

/** Text, status and marks of what is shown, without the clocks that run. */
function said(of: FakeElement): unknown {
  const { status = "", partial } = of.dataset;
  const own = of.childNodes.filter((each) => typeof each === "string");
  const parts = of.children.filter((each) => (status !== "running" && partial !== "") || each.className !== "figure");
  return [status, partial === "" ? "partial" : "", own.join(""), ...parts.map(said)];
}

beforeEach(() => {
  fakeDocument();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000 });
  Object.assign(globalThis, {
    WebSocket: FakeSocket,
    location: { origin: "http://here" },
    HTMLElement: FakeElement,
    customElements: { get: () => true, define: () => {} },
    CustomEvent: class {},
  });
});
const pages: Shown[] = [];
afterEach(() => {
  for (const page of pages.splice(0)) page.close();
  mock.timers.reset();
});

async function page(): Promise<Shown> {
  const opened = await Shown.open();
  pages.push(opened);
  return opened;
}

// What a run tells

type Told = RunEvent | Chunk;

function event(type: string, step = "", data: object = {}, attempt = 1): RunEvent {
  return { seq: 0, type, at: 1_000, step, attempt, data: data as Record<string, unknown> };
}

function chunk(step: string, text: string, parts: Partial<Chunk> = {}): Chunk {
  return { epoch: 1, step, attempt: 1, call: 1, field: "story", offset: 0, text, ...parts };
}

function isChunk(told: Told): told is Chunk {
  return "offset" in told;
}

const ended = (step: string, outputs: object = {}) => event("step_succeeded", step, { seconds: 1.5, outputs });
const started = event("run_started", "", { inputs: { question: "Why?" } });

/** The frames that a page gets that was there, and those of one that comes when all of this was told. */
function frames(told: Told[]): { live: Frame[]; late: Frame[] } {
  const streams = new Map<string, StreamText>();
  const events: RunEvent[] = [];
  const live = told.map((each): Frame => {
    if (!isChunk(each)) {
      events.push({ ...each, seq: events.length + 1 });
      return { type: "events", run: "r", events: events.slice(-1) };
    }
    const { offset: _, ...key } = each;
    const name = JSON.stringify({ ...key, text: "" });
    streams.set(name, { ...key, text: (streams.get(name)?.text ?? "") + each.text, open: true });
    return { type: "chunks", run: "r", chunks: [each] };
  });
  return {
    live,
    late: [
      { type: "streams", run: "r", streams: [...streams.values()] },
      { type: "events", run: "r", events },
    ],
  };
}

async function both(...told: Told[]): Promise<Shown> {
  const { live, late } = frames(told);
  const first = await page();
  for (const frame of live) first.tell(frame);
  const seen = first.all;
  first.close();
  const second = await page();
  second.tell(...late);
  assert.deepEqual(second.all, seen);
  return second;
}

test("many streams at once are painted less often", async () => {
  const clock = mock.method(performance, "now", () => Date.now());
  const shown = await page();
  const steps = Array.from({ length: 200 }, (_, item) => `each[${item}]/fetch`);
  const events = steps.map((step, at) => ({ ...event("step_started", step), seq: at + 1 }));
  const write = (text: string, offset: number) =>
    shown.send({ type: "chunks", run: "r", chunks: steps.map((step) => chunk(step, text, { offset })) });
  shown.tell({ type: "events", run: "r", events });
  write("Once ", 0);
  mock.timers.tick(1);
  write("upon a time", 5); // 50 ms of work are in the frame, so there is no other for three times as long
  mock.timers.tick(140);
  assert.equal(shown.text("fetch"), "Once ");
  mock.timers.tick(20);
  mock.timers.tick(1); // the canvas, after the panel
  assert.equal(shown.text("fetch"), "Once upon a time");
  clock.mock.restore();
});

test("who comes in the middle sees what waits, what was given, what has ended and what is written", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "Once "),
    chunk("write", "upon", { offset: 5 }),
    event("step_started", "each"),
    event("step_failed", "each", { seconds: 2, failure: { message: "No such page" } }),
  );
  assert.deepEqual(
    ["input", "each", "write", "after", "output"].map((id) => late.status(id)),
    ["succeeded", "failed", "running", "queued", "queued"],
  );
  assert.equal(late.text("write"), "Once upon");
});

test("text that was taken back is not shown to who comes later either", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "Not this"),
    event("retract", "write", { call: 1 }),
  );
  assert.equal(late.text("write"), "");
});

test("nor is that of an attempt that failed, and the next one has its own", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "Half"),
    event("attempt_failed", "write", {}),
    chunk("write", "Whole", { attempt: 2 }),
  );
  assert.equal(late.text("write"), "Whole");
});

test("a run that was resumed shows nothing that its step wrote before", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "Lost"),
    event("run_started", "", { resumed: true, epoch: 2 }),
    event("step_started", "write"),
  );
  assert.equal(late.text("write"), "");
});

test("a node in a map's body shows the text of one item, whichever words come first", async () => {
  const late = await both(
    started,
    event("step_started", "each"),
    event("step_started", "each[0]/fetch"),
    event("step_started", "each[1]/fetch"),
    chunk("each[1]/fetch", "Second"),
    chunk("each[0]/fetch", "First"),
    chunk("each[1]/fetch", " more", { offset: 6 }),
  );
  assert.equal(late.text("fetch"), "First");
  assert.deepEqual(["input_2", "output_2"].map((id) => late.status(id)), ["succeeded", "queued"]);
});

test("the input and the output in a container's body are as the container is", async () => {
  const late = await both(started, event("step_started", "each"), ended("each", { stories: [] }));
  assert.deepEqual(["input_2", "output_2"].map((id) => late.status(id)), ["succeeded", "succeeded"]);
});

test("the other item's text comes when the first has ended", async () => {
  const late = await both(
    started,
    event("step_started", "each[0]/fetch"),
    event("step_started", "each[1]/fetch"),
    chunk("each[0]/fetch", "First"),
    chunk("each[1]/fetch", "Second"),
    ended("each[0]/fetch", { story: "First." }),
  );
  assert.equal(late.status("fetch"), "running");
  assert.equal(late.text("fetch"), "Second");
});

test("what a stopped step wrote stays", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "As far as this"),
    event("step_cancelled", "write", { seconds: 3 }),
    event("run_finished", "", { status: "cancelled" }),
  );
  assert.equal(late.text("write"), "As far as this");
  assert.equal(late.status("after"), null);
});

test("a map's node and row tell how many of its items are done, whoever comes later", async () => {
  const late = await both(
    started,
    event("step_started", "each", { kind: "map", times: 3, steps: 1 }),
    event("step_started", "each[0]/fetch"),
    event("step_started", "each[1]/fetch"),
    ended("each[1]/fetch", { story: "Second." }),
    event("step_failed", "each[0]/fetch", { seconds: 1, failure: { message: "No such page" }, suspends: false }),
    event("trace", "each", { name: "item_failed", index: 0 }),
  );
  assert.deepEqual(late.live.step("each").get().progress, { done: 2, total: 3, failed: 1, text: "2 of 3, 1 failed" });
  assert.match(JSON.stringify(late.all), /"2 of 3, 1 failed".*each|each.*"2 of 3, 1 failed"/);
});

test("at the end the outputs are there", async () => {
  const late = await both(
    started,
    event("step_started", "write"),
    chunk("write", "Done"),
    ended("write", { story: "Done" }),
    event("run_finished", "", { status: "succeeded", outputs: {} }),
  );
  assert.equal(late.status("output"), "succeeded");
});
