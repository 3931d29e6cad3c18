import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { RunFeed, type Reader } from "./feed";
import type { Chunk, Frame, RunEvent, StreamText } from "./messages";

/** A socket whose other end is the test. */
class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  readyState = 1;
  sent: Record<string, unknown>[] = [];
  onmessage: (message: { data: string }) => void = () => {};
  onclose: (event: { code: number }) => void = () => {};

  constructor(readonly address: string) {
    FakeSocket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.readyState = 3;
  }
  tell(frame: Frame): void {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  drop(code = 1006): void {
    this.readyState = 3;
    this.onclose({ code });
  }
}

class Heard implements Reader {
  events: number[] = [];
  texts: string[] = [];
  words: string[] = [];
  statuses: string[] = [];
  whole = true;
  event(event: RunEvent): void {
    this.events.push(event.seq);
  }
  chunk(chunk: Chunk): boolean {
    this.texts.push(chunk.text);
    return this.whole;
  }
  stream(stream: StreamText): void {
    this.texts.push(stream.text);
  }
  connection(word: string): void {
    this.words.push(word);
  }
  status(status: string): void {
    this.statuses.push(status);
  }
}

const RUN = "r1";
let polled: string[];
let answer: () => Response;
let feed: RunFeed | undefined;

beforeEach(() => {
  FakeSocket.all = [];
  polled = [];
  answer = () => Response.json({ status: "running", events: [], seq: 0, more: false, streams: [] });
  mock.timers.enable({ apis: ["setTimeout"] });
  Object.assign(globalThis, {
    WebSocket: FakeSocket,
    location: { origin: "http://here" },
    fetch: (address: string) => {
      polled.push(address);
      return Promise.resolve(answer());
    },
  });
});
afterEach(() => {
  feed?.stop();
  mock.timers.reset();
});

function listen(): [Heard, FakeSocket] {
  const heard = new Heard();
  feed = new RunFeed(RUN, "/since/", heard);
  socket().tell({ type: "hello", protocol: 1 });
  return [heard, socket()];
}

function socket(): FakeSocket {
  const last = FakeSocket.all.at(-1);
  assert(last);
  return last;
}

function events(...numbers: number[]): Frame {
  const each = (seq: number) => ({ seq, type: "trace", at: 0, step: "", attempt: 0, data: {} });
  return { type: "events", run: RUN, events: numbers.map(each) };
}

const caughtUp = (status = "running"): Frame => ({ type: "caught_up", run: RUN, seq: 0, status });
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

test("asks from the beginning, at the page's own address", () => {
  const [, asked] = listen();
  assert.equal(asked.address, "ws://here/ws/live/");
  assert.deepEqual(asked.sent, [{ type: "subscribe", run: RUN, after_seq: 0 }]);
});

test("an event that comes twice is taken once", () => {
  const [heard, socket] = listen();
  socket.tell(events(1, 2));
  socket.tell(events(2, 3));
  assert.deepEqual(heard.events, [1, 2, 3]);
});

test("after a gap it asks from the last event it has, and takes the rest from there", () => {
  const [heard, socket] = listen();
  socket.tell(events(1));
  socket.tell(caughtUp());
  socket.tell(events(4));
  assert.deepEqual(heard.events, [1]);
  assert.deepEqual(socket.sent.at(-1), { type: "subscribe", run: RUN, after_seq: 1 });
  socket.tell(events(2, 3, 4));
  assert.deepEqual(heard.events, [1, 2, 3, 4]);
});

test("a gap is asked about once, not for every event behind it", () => {
  const [, socket] = listen();
  socket.tell(caughtUp());
  socket.tell(events(4));
  socket.tell(events(5));
  assert.equal(socket.sent.length, 2);
});

test("text whose beginning is missing is asked for", () => {
  const [heard, socket] = listen();
  socket.tell(caughtUp());
  heard.whole = false;
  const chunk = { epoch: 1, step: "s", attempt: 1, call: 1, field: "y", offset: 9, text: "late" };
  socket.tell({ type: "chunks", run: RUN, chunks: [chunk] });
  assert.equal(socket.sent.length, 2);
});

test("frames of another run are not ours", () => {
  const [heard, socket] = listen();
  socket.tell({ ...events(1), run: "r2" } as Frame);
  assert.deepEqual(heard.events, []);
});

test("a dropped socket comes back and goes on where it was", () => {
  const [heard, first] = listen();
  first.tell(events(1, 2));
  first.drop();
  assert.deepEqual(heard.words, ["Reconnecting"]);
  mock.timers.tick(500);
  socket().tell({ type: "hello", protocol: 1 });
  assert.deepEqual(socket().sent, [{ type: "subscribe", run: RUN, after_seq: 2 }]);
  socket().tell(caughtUp());
  assert.equal(heard.words.at(-1), "");
});

test("it waits longer after each time that the socket fails", () => {
  listen();
  for (const wait of [500, 1_000, 2_000]) {
    socket().drop();
    const before = FakeSocket.all.length;
    mock.timers.tick(wait - 1);
    assert.equal(FakeSocket.all.length, before);
    mock.timers.tick(1);
    assert.equal(FakeSocket.all.length, before + 1);
  }
});

test("without a socket it polls, and stops at the end of the run", async () => {
  const heard = new Heard();
  feed = new RunFeed(RUN, "/since/", heard);
  answer = () => {
    const { events: told } = events(1, 2) as Extract<Frame, { type: "events" }>;
    return Response.json({ status: "succeeded", events: told, seq: 2, more: false, streams: [] });
  };
  socket().drop();
  mock.timers.tick(1_000);
  await settled();
  assert.deepEqual(polled, ["/since/?after=0"]);
  assert.deepEqual(heard.events, [1, 2]);
  assert.deepEqual(heard.statuses, ["succeeded"]);
  mock.timers.tick(60_000);
  await settled();
  assert.equal(polled.length, 1);
});

test("polling goes on when the server does not answer", async () => {
  feed = new RunFeed(RUN, "/since/", new Heard());
  answer = () => {
    throw new TypeError("Failed to fetch");
  };
  socket().drop();
  for (let turn = 0; turn < 2; turn++) {
    mock.timers.tick(1_000);
    await settled();
  }
  assert.equal(polled.length, 2);
});

test("who is signed out is told, and nothing is tried again", () => {
  const [heard, first] = listen();
  first.drop(4401);
  mock.timers.tick(60_000);
  assert.deepEqual(heard.words, ["You are signed out"]);
  assert.equal(FakeSocket.all.length, 1);
});

test("marks are sent back", () => {
  const [, socket] = listen();
  socket.tell({ type: "mark", n: 7 });
  assert.deepEqual(socket.sent.at(-1), { type: "mark", n: 7 });
});

test("a run that has ended closes the socket", () => {
  const [heard, socket] = listen();
  socket.tell(caughtUp("failed"));
  assert.deepEqual(heard.statuses, ["failed"]);
  assert.equal(socket.readyState, 3);
});
