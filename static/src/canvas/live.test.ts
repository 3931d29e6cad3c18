import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { announced } from "./announce";
import { cost, seconds } from "./figures";
import { Live, NO_STEP, type Change } from "./live";

/** A run on a clock that only `pass` moves. */
function run(body: (live: Live, pass: (ms: number) => void, painted: string[]) => void): void {
  let now = 1_000;
  mock.method(performance, "now", () => now);
  mock.timers.enable({ apis: ["setTimeout"] });
  const live = new Live();
  const painted: string[] = [];
  live.stream("a").showOn({
    append: (text) => painted.push(`+${text}`),
    replace: (text) => painted.push(`=${text}`),
  });
  painted.length = 0;
  const pass = (ms: number) => {
    now += ms;
    mock.timers.tick(ms);
  };
  try {
    body(live, pass, painted);
  } finally {
    mock.timers.reset();
    mock.restoreAll();
  }
}

test("the first piece is painted at once, the rest some sixty times a second", () => {
  run((live, pass, painted) => {
    live.chunk("a", "text", "one ");
    pass(1);
    for (let at = 0; at < 6; at++) {
      live.chunk("a", "text", `${at}`);
      pass(2);
    }
    assert.deepEqual(painted, ["=one "]);
    pass(4);
    assert.deepEqual(painted, ["=one ", "+012345"]);
  });
});

test("words that come before their step has begun stay", () => {
  run((live, pass, painted) => {
    live.chunk("a", "text", "early ");
    pass(100);
    live.status({ a: { status: "running" } });
    live.chunk("a", "text", "bird");
    pass(100);
    assert.deepEqual(painted, ["=early ", "+bird"]);
  });
});

test("a new field begins with an empty box", () => {
  run((live, pass, painted) => {
    live.chunk("a", "reasoning", "because");
    pass(100);
    live.chunk("a", "answer", "42");
    pass(100);
    assert.deepEqual(painted, ["=because", "=42"]);
  });
});

test("a step that starts anew has nothing of the attempt before", () => {
  run((live, pass, painted) => {
    live.status({ a: { status: "running" } });
    live.chunk("a", "text", "partial");
    live.status({ a: { status: "failed", seconds: 2 } });
    pass(100);
    assert.equal(live.step("a").get().status, "failed");
    live.status({ a: { status: "running" } });
    live.chunk("a", "text", "again");
    pass(100);
    assert.equal(painted.at(-1), "=again");
    assert.equal(live.step("a").get().seconds, null);
  });
});

test("what is sent on reconnecting replaces what was there", () => {
  run((live, pass, painted) => {
    live.chunk("a", "text", "half a sen");
    live.status({ a: { status: "running", field: "text", text: "half a sentence" } });
    pass(100);
    assert.deepEqual(painted, ["=half a sentence"]);
  });
});

test("many words about a node change it once", () => {
  run((live, pass) => {
    let changes = 0;
    live.step("a").subscribe(() => changes++);
    for (let at = 0; at < 50; at++) live.status({ a: { status: "running", tokens: at } });
    pass(100);
    assert.equal(changes, 1);
    assert.equal(live.step("a").get().tokens, 49);
  });
});

test("only the node that is spoken of changes", () => {
  run((live, pass) => {
    const other = live.step("b").get();
    live.status({ a: { status: "queued" } });
    pass(100);
    assert.equal(live.step("b").get(), other);
  });
});

test("running seconds are counted between two words", () => {
  run((live, pass) => {
    const shown: number[] = [];
    live.status({ a: { status: "running", seconds: 2 } });
    pass(1);
    live.clock("a", (value) => shown.push(value));
    pass(300);
    assert.equal(shown.at(-1), 2.3);
  });
});

test("a forgotten run leaves nothing behind", () => {
  run((live, pass, painted) => {
    live.status({ a: { status: "running" } });
    live.chunk("a", "text", "words");
    live.clear();
    pass(200);
    assert.equal(live.step("a").get(), NO_STEP);
    assert.equal(painted.at(-1), "=");
  });
});

const change = (node: string, status: Change["step"]["status"], field: string | null = null): Change => ({
  node,
  step: { ...NO_STEP, status, seconds: 2.1, field },
  before: NO_STEP,
});

test("starts and ends are told by name, many of them by number", () => {
  const title = (node: string) => node.toUpperCase();
  assert.equal(announced([change("a", "succeeded")], title), "A succeeded, 2.1 s");
  assert.equal(announced([change("a", "queued")], title), "");
  const many = Array.from({ length: 12 }, (_, at) => change(`n${at}`, "cached"));
  assert.equal(announced(many, title), "12 steps from cache");
});

test("a closed field is told, the one that opens is not", () => {
  const before = { ...NO_STEP, status: "running" as const, field: "reasoning" };
  const step = { ...before, field: "answer" };
  assert.equal(announced([{ node: "a", step, before }], (node) => node), "a, reasoning written");
});

test("figures have units and a space", () => {
  assert.deepEqual([0.004, 0.62, 2.14, 75].map(seconds), ["4 ms", "0.62 s", "2.1 s", "1 min 15 s"]);
  assert.deepEqual([0.0001, 0.25, 0].map(cost), ["$0.0001", "$0.25", "$0.00"]);
});
