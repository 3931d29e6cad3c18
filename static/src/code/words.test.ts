import assert from "node:assert/strict";
import { test } from "node:test";
import { Text } from "@codemirror/state";
import { marked } from "./problems";
import { optionsFor, type Words } from "./words";

const WORDS: Words = {
  statements: ["for", "if"],
  filters: ["upper"],
  tests: ["defined"],
  functions: ["range"],
  operators: ["and"],
  types: [],
};
const NAMES = [{ name: "question", type: "str", from: "input" }];

test("each place is offered what may stand there", () => {
  const labels = (what: Parameters<typeof optionsFor>[0]) =>
    optionsFor(what, WORDS, NAMES, ["question", "item"]).map(({ label }) => label);
  assert.deepEqual(labels("statement"), ["for", "if"]);
  assert.deepEqual(labels("filter"), ["upper"]);
  assert.deepEqual(labels("test"), ["defined"]);
  assert.deepEqual(labels("name"), ["question", "item", "range", "and"]);
});

test("a name says its type and where it comes from", () => {
  assert.equal(optionsFor("name", WORDS, NAMES, [])[0]?.detail, "str · input");
});

const doc = Text.of(["a 😀 b", "  second  ", ""]);
const told = { line: 1, column: null, length: 1, severity: "error", message: "No." } as const;

for (const [place, text] of [
  [{ column: 5 }, "b"],
  [{ column: 3 }, "😀"],
  [{ line: 2 }, "second"],
  [{ line: 2, column: 3, length: 6 }, "second"],
  [{ column: 6 }, "\n"],
  [{ line: 9, column: 4 }, ""], // the text is shorter by now
] as const) {
  test(`a problem at ${JSON.stringify(place)}`, () => {
    const { from, to } = marked(doc, { ...told, ...place });
    assert.equal(doc.sliceString(from, to), text);
  });
}
