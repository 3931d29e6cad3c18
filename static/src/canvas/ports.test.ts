import assert from "node:assert/strict";
import { test } from "node:test";
import { dataType, fits, shortType } from "./ports";

// The same table as `tests/fast/test_graph_validate.py`, and what it leaves to Python's own types.
const cases: [string, string, boolean][] = [
  ["int", "float", true],
  ["float", "int", false],
  ["bool", "int", true],
  ["list[int]", "list[float]", true],
  ["list[str]", "list[int]", false],
  ["str", "Optional[str]", true],
  ["Optional[str]", "int", false],
  ["Literal['a', 'b']", "str", true],
  ["str", "Literal['a', 'b']", true],
  ["int", "Literal['a', 'b']", false],
  ["dict[str, int]", "str", true],
  ["Any", "list[int]", true],
  ["list", "list[int]", true],
  ["tuple[int, ...]", "list[int]", true],
  ["Union[int, str]", "int", true],
  ["dict[str, Any]", "list[str]", false],
  ["bool", "float", false],
  ["int", "bool", false],
  ["Literal[True]", "int", true],
  ["Literal[1]", "float", false],
  ["Literal['a, [b']", "int", false],
  ["Literal[None]", "Optional[int]", true],
  ["tuple[int, int]", "tuple[int, ...]", false],
  ["list[dict[str, int]]", "list[dict[str, float]]", true],
  ["Sequence[int]", "list[int]", false],
  ["dspy.Code['python']", "dspy.Code['sql']", false],
  ["int | str", "float", true],
];

for (const [source, target, expected] of cases) {
  test(`${source} ${expected ? "fits" : "does not fit"} ${target}`, () => {
    assert.equal(fits(source, target), expected);
  });
}

test("a port's look tells one value, list, object and anything apart", () => {
  const looks = {
    str: "str",
    "list[str]": "str list",
    "Literal['a', 'b']": "str",
    "Optional[float]": "num",
    "dict[str, Any]": "obj",
    "list[dict[str, Any]]": "obj list",
    "Union[int, str]": "any",
    Any: "any",
    list: "any list",
    "dspy.Image": "file",
  };
  for (const [type, look] of Object.entries(looks)) assert.equal(dataType(type), look, type);
});

test("a long type is cut to what a node has room for", () => {
  assert.equal(shortType("list[dict[str, Any]]"), "list[dict]");
  assert.equal(shortType("Optional[str]"), "str?");
  assert.equal(shortType("Literal['yes', 'no']"), "Literal[2]");
});
