import "./testing";
import { added, named } from "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Edits } from "./edits";
import { History } from "./history";

function history() {
  const undone: string[] = [];
  const edits = { undo: (id: string) => `undo of ${undone[undone.push(id) - 1]}` } as unknown as Edits;
  let can = [false, false];
  const made = new History(edits, (undo, redo) => (can = [undo, redo]));
  return { history: made, undone, can: () => can };
}

test("undo takes the last edit back, redo takes that back", () => {
  const { history: past, undone, can } = history();
  past.note("one", added("a"));
  past.note("two", added("b"));
  past.undo();
  assert.deepEqual([undone, can()], [["two"], [true, true]]);
  past.redo();
  assert.deepEqual([undone, can()], [["two", "undo of two"], [true, false]]);
});

test("what is typed in one field in one go is undone in one go, the last first", () => {
  const { history: past, undone } = history();
  past.note("one", named("N"));
  past.note("two", named("Na"));
  past.note("two", named("Nam")); // not sent yet: the same edit
  past.undo();
  assert.deepEqual(undone, ["two", "one"]);
});

test("another field is another step", () => {
  const { history: past, undone } = history();
  past.note("one", named("N", "a"));
  past.note("two", named("N", "b"));
  past.undo();
  assert.deepEqual(undone, ["two"]);
});

test("a new edit ends what could be redone", () => {
  const { history: past, can } = history();
  past.note("one", added("a"));
  past.undo();
  past.note("two", added("b"));
  assert.deepEqual(can(), [true, false]);
});

test("what was refused has not happened", () => {
  const { history: past, undone, can } = history();
  past.note("one", added("a"));
  past.forget("one");
  past.undo();
  assert.deepEqual([undone, can()], [[], [false, false]]);
});
