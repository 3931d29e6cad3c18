import assert from "node:assert/strict";
import { test } from "node:test";
import { piecesOf } from "./testing";
import { begin, read, wantsType } from "./signature";

const pieces = (text: string) => piecesOf(text, begin(), read);

test("fields, types and the arrow", () => {
  assert.deepEqual(pieces("question, context: list[str] -> answer: dspy.Image"), [
    "variableName:question",
    "operator:,",
    "variableName:context",
    "operator::",
    "typeName:list",
    "bracket:[",
    "typeName:str",
    "bracket:]",
    "controlOperator:->",
    "variableName:answer",
    "operator::",
    "typeName:dspy.Image",
  ]);
});

test("a comma in brackets does not end a type", () => {
  assert.deepEqual(pieces("-> a: Literal['x', None, -1.5], b").slice(2), [
    "operator::",
    "typeName:Literal",
    "bracket:[",
    "string:'x'",
    "operator:,",
    "atom:None",
    "operator:,",
    "number:-1.5",
    "bracket:]",
    "operator:,",
    "variableName:b",
  ]);
});

test("a long quote goes on over lines, a short one does not", () => {
  assert.deepEqual(pieces('a: str """x\ny""" # z').slice(2), [
    "typeName:str",
    'string:"""x',
    'string:y"""',
    "comment:# z",
  ]);
  assert.deepEqual(pieces("a: str 'x\ny").slice(3), ["string:'x", "typeName:y"]);
});

for (const [text, wants] of [
  ["question", false],
  ["question: ", true],
  ["question: li", true],
  ["question: list[st", true],
  ["question: dspy.Im", true],
  ["question: Literal['a", false],
  ["question: str, con", false],
  ["question: str -> ans", false],
  ["question -> answer: bool | ", true],
] as const) {
  test(`whether a type may stand at the end of ${JSON.stringify(text)}`, () => {
    assert.equal(wantsType(text), wants);
  });
}
