import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLanguage } from "@codemirror/lang-json";
import { placeAt, type Path } from "./jsonpath";

const TEXT = '[{"a": 1, "b\\u0021": [true, {"c": null}]}, 5]';
const { topNode } = jsonLanguage.parser.parse(TEXT);

const cases: [Path, string][] = [
  [[1], "5"],
  [[0, "a"], "1"],
  [[0, "b!", 0], "true"],
  [[0, "b!", 1, "c"], "null"],
  [[0, "b!"], '"b\\u0021"'], // many lines, maybe: its key
  [[0], "{"],
  [[], "["],
  [[0, "a", "list[int]"], "1"], // what leads nowhere ends where it still led somewhere
  [[0, "gone"], "{"],
  [[7], "["],
];

for (const [path, found] of cases) {
  test(`what lies at ${JSON.stringify(path)}`, () => {
    const place = placeAt(TEXT, topNode, path);
    assert.equal(TEXT.slice(place?.from, place?.to), found);
  });
}

test("nothing lies in nothing", () => {
  assert.equal(placeAt("", jsonLanguage.parser.parse("").topNode, ["a"]), null);
});
