import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamKey } from "./messages";
import { Row } from "./row";
import { fakeDocument } from "./testing";

fakeDocument();

function key(field: string, parts: Partial<StreamKey> = {}): StreamKey {
  return { epoch: 1, step: "analyse", attempt: 1, call: 1, field, ...parts };
}

function started(): Row {
  const row = new Row("Analyse", 0);
  row.backend = "native";
  row.start(100);
  return row;
}

function write(row: Row, at: StreamKey, text: string, now = 100): void {
  const line = row.field(at);
  line.text.add(line.text.length, text);
  line.paint(now);
}

/** What each line says: field, text, figure. */
function said(row: Row): string[][] {
  return row.lines.map(({ item }) => [2, 3, 4].map((place) => item.children[place]?.textContent ?? ""));
}

const live = (row: Row): boolean[] => row.lines.map((line) => line.live);
const partial = (row: Row): boolean[] => row.lines.map(({ item }) => "partial" in item.dataset);

test("every field has a line, and the one that is written is live", () => {
  const row = started();
  write(row, key("reasoning"), "Because");
  write(row, key("analysis"), "So");
  assert.deepEqual(said(row), [["reasoning", "Because", ""], ["analysis", "So", ""]]);
  assert.deepEqual(live(row), [false, true]);
});

test("text of a field goes on in its own line", () => {
  const row = started();
  for (const piece of ["Late ", "inter", "action"]) write(row, key("analysis"), piece);
  assert.deepEqual(said(row), [["analysis", "Late interaction", ""]]);
});

test("a field that was seen from its beginning says how long it took", () => {
  const row = started();
  write(row, key("reasoning"), "Be", 100);
  write(row, key("reasoning"), "cause", 101.5);
  write(row, key("analysis"), "So", 101.6);
  assert.equal(said(row)[0]?.[2], "1.5 s");
});

test("what was written before the page looked says nothing about speed", () => {
  const row = started();
  row.field(key("analysis")).replayed = true;
  write(row, key("analysis"), "x".repeat(4_000), 105);
  row.tick(105.1);
  assert.equal(said(row)[0]?.[2], "5.1 s");
  write(row, key("analysis"), "y".repeat(40), 106);
  row.tick(106);
  assert.match(said(row)[0]?.[2] ?? "", /^\d+ tok\/s$/);
});

test("text may come before the event that its step has started", () => {
  const row = new Row("Analyse", 0);
  write(row, key("reasoning"), "Because");
  write(row, key("analysis"), "So");
  row.start(100);
  assert.deepEqual(row.lines.map(({ item }) => item.dataset.status), ["succeeded", "running"]);
});

test("a step that succeeds shows its outputs in place of what was streamed", () => {
  const row = started();
  write(row, key("keywords"), '["late", "dense"');
  row.end("succeeded", 102, 1.2, "", { keywords: ["late", "dense"] });
  assert.deepEqual(said(row), [["keywords", "latedense", "1.2 s"]]);
  assert.deepEqual(live(row), [false]);
});

test("what comes after the step's end adds nothing to its outputs", () => {
  const row = started();
  write(row, key("analysis"), "The Lion's ");
  row.lines[0]?.text.add(11, "Whistle");
  row.end("succeeded", 101, 1, "", { analysis: "The Lion's Whistle" });
  row.lines[0]?.paint(101);
  assert.equal(said(row)[0]?.[1], "The Lion's Whistle");
});

test("an output that was put aside keeps what was streamed", () => {
  const row = started();
  write(row, key("text"), "Very long");
  row.end("succeeded", 102, 1, "", { text: null });
  assert.equal(said(row)[0]?.[1], "Very long");
});

test("an attempt that failed keeps its text, marked, and the next one has lines of its own", () => {
  const row = started();
  write(row, key("analysis"), "Half an ans");
  row.attemptFailed(1);
  write(row, key("analysis", { attempt: 2 }), "A whole one");
  row.end("succeeded", 103, 3, "", { analysis: "A whole one." });
  assert.deepEqual(said(row).map(([, text]) => text), ["Half an ans", "A whole one."]);
  assert.deepEqual(partial(row), [true, false]);
});

test("text that a call takes back is marked", () => {
  const row = started();
  write(row, key("analysis"), "Not this");
  row.retract(1, 1, "Not part of the result");
  assert.deepEqual(partial(row), [true]);
  assert.deepEqual(live(row), [false]);
});

test("text of a runner that died is marked when the next one begins", () => {
  const row = started();
  write(row, key("analysis"), "From before");
  write(row, key("analysis", { epoch: 2 }), "Anew");
  assert.deepEqual(partial(row), [true, false]);
});

test("a step that fails says why, below what it wrote", () => {
  const row = started();
  write(row, key("analysis"), "Half");
  row.end("failed", 101, 1, "The answer broke off.", {});
  assert.equal(said(row).at(-1)?.[1], "The answer broke off.");
  assert.equal(row.item.dataset.status, "failed");
});

test("a step of very many calls keeps its last lines", () => {
  const row = started();
  for (let call = 1; call <= 30; call++) write(row, key("thought", { call }), `thought ${call}`);
  assert.equal(row.lines.length, 10);
  assert.equal(said(row).at(-1)?.[1], "thought 30");
});
