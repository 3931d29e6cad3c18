import assert from "node:assert/strict";
import { test } from "node:test";
import { piecesOf } from "./testing";
import { begin, namesIn, read, wanted } from "./template";

const pieces = (text: string, expression = false) => piecesOf(text, begin(expression), read);

test("a variable with a property and a filter", () => {
  assert.deepEqual(pieces("Hi {{ user.name | upper }}!"), [
    "meta:{{",
    "variableName:user",
    "operator:.",
    "propertyName:name",
    "operator:|",
    "variableName.function:upper",
    "meta:}}",
  ]);
});

test("a statement begins with its word, and a test follows is", () => {
  assert.deepEqual(pieces("{%- if text is not defined -%}"), [
    "meta:{%-",
    "keyword:if",
    "variableName:text",
    "keyword:is",
    "keyword:not",
    "variableName.function:defined",
    "meta:-%}",
  ]);
});

test("braces in brackets and in quotes do not end a tag", () => {
  assert.deepEqual(pieces(`{{ {"a": "}}"} }}`), [
    "meta:{{",
    "bracket:{",
    'string:"a"',
    "operator::",
    'string:"}}"',
    "bracket:}",
    "meta:}}",
  ]);
});

test("comments, raw text and quotes go on over lines", () => {
  assert.deepEqual(pieces("{# a\nb #}{% raw %}{{ x }}\n{% endraw %}{{ 'a\nb' }}"), [
    "comment:{# a",
    "comment:b #}",
    "keyword:{% raw %}",
    "keyword:{% endraw %}",
    "meta:{{",
    "string:'a",
    "string:b'",
    "meta:}}",
  ]);
});

test("an expression has no braces", () => {
  assert.deepEqual(pieces("score > 0.5 and naïve", true), [
    "variableName:score",
    "operator:>",
    "number:0.5",
    "keyword:and",
    "variableName:naïve",
  ]);
});

const places: [string, ReturnType<typeof wanted>][] = [
  ["Hello ", null],
  ["Hello {{ te", "name"],
  ["{{ text | up", "filter"],
  ["{{ text.", null],
  ["{{ text.na", null],
  ["{{ 'te", null],
  ["{# te", null],
  ["{% i", "statement"],
  ["{% if te", "name"],
  ["{% if text is def", "test"],
  ["{% if text is not def", "test"],
  ["{% for x in ", "name"],
  ["{{ text }} and", null],
  ["{% raw %}{{ te", null],
];

for (const [text, found] of places) {
  test(`what may stand at the end of ${JSON.stringify(text)}`, () => assert.equal(wanted(text, false), found));
}

test("names are found once, filters and properties not at all", () => {
  assert.deepEqual(namesIn("{% for x in items %}{{ x.y | join(sep) }}{{ items }}{% endfor %} z", false), [
    "x",
    "items",
    "sep",
  ]);
});
