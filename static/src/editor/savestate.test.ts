import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SaveState } from "./edits";
import { wording } from "./savestate";

const cases: [SaveState, string][] = [
  [{ is: "saved", revision: 42 }, "Saved · rev 42"],
  [{ is: "saving" }, "Saving"],
  [{ is: "offline", edits: 1 }, "Offline, 1 edit kept here"],
  [{ is: "offline", edits: 3 }, "Offline, 3 edits kept here"],
  [{ is: "conflict", edits: 2 }, "Conflict, 2 of your edits kept here"],
  [{ is: "denied", message: "You are signed out." }, "You are signed out."],
];

for (const [state, text] of cases) {
  test(`${state.is}: ${text}`, () => assert.equal(wording(state), text));
}
