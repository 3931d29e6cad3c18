import assert from "node:assert/strict";
import { test } from "node:test";
import { formatted, problemIn } from "./json";

const wrong: [string, string, RegExp][] = [
  ["", "", /a value is expected, and here is the end/],
  ['{"a": 1 "b": 2}', '"b"', /a comma or } is expected/],
  ['{"a": 1,}', "}", /no comma stands before the end/],
  ["[1, 2", "", /a comma or ] is expected, and here is the end/],
  ["[1}", "}", /a comma or ] is expected/],
  ["{a: 1}", "a", /a key in double quotes or } is expected, and here is a/],
  ["{'a': 1}", "'", /a key in double quotes/],
  ['{"a" 1}', "1", /a colon is expected/],
  ["[1] 2", "2", /it has ended/],
  ["[01]", "01", /a value or ] is expected/],
  ["[NaN]", "NaN", /a value or ]/],
  ['["a\nb"]', '"a', /ends in its line/],
  ['["a\\x"]', '"a\\', /ends in its line/],
  ["[nulls]", "nulls", /a value or ]/],
];

for (const [text, at, says] of wrong) {
  test(`what is wrong with ${JSON.stringify(text)}`, () => {
    const problem = problemIn(text);
    assert.equal(text.slice(problem?.from, problem?.to), at);
    assert.match(problem?.message ?? "", says);
  });
}

test("whatever the browser reads is no problem, and only that", () => {
  for (const text of ['{"a": [1, -2.5e+10, true, null, "\\u00e9 \\" "], "b": {}}', " 7 ", '""', "[[[]]]"]) {
    assert.equal(problemIn(text), null);
  }
});

test("formatting changes the space between and nothing else", () => {
  const text = '{"b":[1.0,12345678901234567890,1e400],"a":{},"a":[ ],"c":"x: {,}"}';
  const after = formatted(text);
  assert.equal(
    after,
    `{
  "b": [
    1.0,
    12345678901234567890,
    1e400
  ],
  "a": {},
  "a": [],
  "c": "x: {,}"
}`,
  );
  assert.equal(formatted(after ?? ""), after);
  assert.equal(formatted("{"), null);
});

test("a nest of 100,000 is walked, not climbed", () => {
  const deep = 100_000;
  assert.equal(problemIn("[".repeat(deep))?.from, deep);
});

test("a megabyte is looked through in no time", () => {
  const text = JSON.stringify(Array.from({ length: 20_000 }, (_, id) => ({ id, text: "x".repeat(30) })));
  const begin = performance.now();
  assert.ok(problemIn(`${text.slice(0, -1)},]`));
  assert.ok(formatted(text));
  assert.ok(performance.now() - begin < 2_000); // it takes some 100 ms
});
