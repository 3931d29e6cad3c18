import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { offerOf, ranked, type Offer } from "./offers";
import { offeredBy, versionIn } from "./saved";
import { editorNode } from "./testing";

function offer(title: string, description = ""): Offer {
  const kind = title.toLowerCase().replaceAll(" ", "_");
  const parts = { kind, kindTitle: title, description };
  return offerOf({ ...editorNode("new", parts as object), kind_version: 1, description, offered: true, body: [] });
}

const OFFERS = [
  offer("Language model", "Fills a template and asks."),
  offer("Nested template", "Several at once."),
  offer("Template", "Writes a text."),
];
const titles = (text: string) => ranked(OFFERS, text).map(({ title }) => title);

test("a name that begins with the text comes first, then one that holds it, then descriptions", () => {
  assert.deepEqual(titles("Template"), ["Template", "Nested template", "Language model"]);
});

test("what the text names nowhere is left out", () => assert.deepEqual(titles("several"), ["Nested template"]));

test("without a text everything stays in its order", () => {
  assert.deepEqual(titles(" "), ["Language model", "Nested template", "Template"]);
});

test("the name that files use is a name too", () => {
  assert.deepEqual(titles("language_m"), ["Language model"]);
});

test("a saved pipeline is offered by its name, and leads to its version", () => {
  const saved = { version: "0a-1", number: 3, name: "Sort mail", description: "By topic.", inputs: [], outputs: [] };
  const made = offeredBy(saved);
  assert.deepEqual(ranked([...OFFERS, made], "sort"), [made]);
  assert.equal(versionIn(made.key), "0a-1");
  assert.equal(versionIn("template"), null);
});
