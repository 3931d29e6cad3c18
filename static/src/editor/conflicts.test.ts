import { refused } from "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sentences } from "./conflicts";
import type { Conflict } from "./types";

const said = (...conflicts: Partial<Conflict>[]) =>
  sentences(refused(9, ...conflicts)({ id: "x" }), (node) => node.toUpperCase(), 4, 7).join(" ");

test("a conflict names the person, both revisions and what overlaps", () => {
  const text = said({ author: "Maya", revision: 6, key: "n/a/config/max_tokens" });
  assert.equal(text, "Maya saved rev 6 while you edited rev 4. Both changed A, max tokens.");
});

test("one's own other tab is not called by one's name", () => {
  assert.match(said({ author: "Jo", author_id: 7, revision: 6 }), /^You, in another tab, saved rev 6/);
});

test("a place is named once, and many are cut short", () => {
  const keys = ["p/name", "n/a", "n/a/in/x", "n/b/label", "n/a"];
  assert.match(said(...keys.map((key) => ({ key }))), /the name; A; A, input x and more\.$/);
});

test("without a conflict the server's own words are said", () => {
  assert.equal(said(), "An edit was not saved. It is gone.");
});
