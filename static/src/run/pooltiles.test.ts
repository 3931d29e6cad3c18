import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool, Worker } from "./messages";
import { pool } from "./pooltiles";
import { fakeDocument } from "./testing";

fakeDocument();

function worker(parts: Partial<Worker> = {}): Worker {
  return {
    ...{ number: 1, state: "idle", retiring: "", answers: true, sessions: 0, pid: 7, run_id: "" },
    ...{ threads: 1, steps: [], held: false, calls: 0, age: 1, memory: 15_000_000, ...parts },
  };
}

function told(parts: Partial<Pool> = {}): Pool {
  return {
    ...{ pool: "general", size: 4, threads: 1, state: "ok", why: "", draining: false, reuse: false, affinity: "hint" },
    ...{ queued: 0, queue_limit: 1_000, queue_timeout: 60, breaker: "closed", failing: 0, opens_in: 0 },
    ...{ sessions: 0, session_limit: 10_000, tainted: [], calls: 3, lost: 0, started: 1, workers: [worker()] },
    ...{ recent: [1, 2], span: 10, ends: [], ...parts },
  };
}

function text(parts: Partial<Pool>, look: { mayReplace?: boolean; several?: boolean } = {}): string {
  const full = { run: "/runs/00000000-0000-0000-0000-000000000000/", mayReplace: false, several: false };
  return pool(told(parts), "host:1:ab", { ...full, ...look, isOpen: () => false }).textContent ?? "";
}

test("a pool says how it is", () => {
  const said = text({});
  for (const part of ["Pool general", "Works", "Busy0 of 4", "QueueEmpty", "BreakerClosed", "Memory15 MB", "spare"])
    assert.ok(said.includes(part), `${part} in ${said}`);
});

test("an open breaker, a drained pool and a taint are said in words", () => {
  assert.match(text({ state: "broken", breaker: "open", opens_in: 11.2 }), /Takes no steps.*Open for 12 s/);
  assert.match(text({ state: "broken", draining: true, why: "Steps wait." }), /Drained.*Steps wait\./);
  const tainted = [{ worker: 3, reason: "out_of_memory", left: 41.5 }];
  assert.match(text({ tainted }), /1, last out of memory, 42 s/);
});

test("a worker that is to end, or does not answer, is shown so", () => {
  assert.match(text({ workers: [worker({ state: "busy", retiring: "replaced" })] }), /ends after its step/);
  assert.match(text({ workers: [worker({ answers: false })] }), /no answer/);
});

test("sessions are shown where workers are kept, and a worker of others says nothing of them", () => {
  assert.doesNotMatch(text({}), /Sessions/);
  const steps = [{ run_id: "", step: "" }];
  const workers = [worker({ state: "busy", held: true, steps, calls: 2 })];
  const said = text({ reuse: true, sessions: 5, workers });
  assert.match(said, /Sessions5, hint/);
  assert.match(said, /A run that is not yours/);
});

test("a worker with threads says how many steps are in it, and whose", () => {
  const own = ["a", "b", "c", "d", "e"].map((step) => ({ run_id: "11111111-0000-0000-0000-000000abcdef", step }));
  const steps = [...own, { run_id: "", step: "" }, { run_id: "", step: "" }];
  const said = text({ threads: 10, reuse: true, workers: [worker({ state: "busy", threads: 10, steps, held: true })] });
  for (const part of ["Steps7 of 40", "steps7 of 10", "c in run abcdef", "and 2 more of yours", "2 steps of runs that"])
    assert.ok(said.includes(part), `${part} in ${said}`);
  assert.doesNotMatch(said, /d in run/);
  assert.doesNotMatch(text({}), /Steps/);
});

test("only who may replaces workers, and several runners are told apart", () => {
  assert.doesNotMatch(text({}), /Replace/);
  assert.match(text({}, { mayReplace: true }), /Replace/);
  assert.match(text({}, { several: true }), /Pool general in host:1:ab/);
});

test("how workers ended is told apart", () => {
  const end = { number: 2, pid: 9, why: "process 9 ended with signal 11", reason: "segfault", lost: true };
  assert.match(text({ ends: [{ ...end, calls: 1, age: 2, at: 0 }] }), /Segfault.*signal 11.*1 call/);
});
