import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldText, Rate } from "./fieldtext";

test("pieces are given out once, in order", () => {
  const text = new FieldText();
  text.add(0, "Late ");
  text.add(5, "inter");
  assert.equal(text.take(), "Late inter");
  text.add(10, "action");
  assert.equal(text.take(), "action");
  assert.equal(text.take(), "");
});

test("what overlaps is taken once", () => {
  const text = new FieldText();
  text.add(0, "Late inter");
  text.add(5, "interaction");
  text.add(0, "Late");
  assert.equal(text.take(), "Late interaction");
});

test("a piece whose beginning is missing is refused, until all of it comes", () => {
  const text = new FieldText();
  assert.equal(text.add(5, "inter"), false);
  assert.equal(text.take(), "");
  assert.equal(text.add(0, "Late inter"), true);
  assert.equal(text.take(), "Late inter");
});

test("the rate is of the last moments", () => {
  const rate = new Rate(2);
  for (let at = 0; at <= 2; at += 0.5) rate.add(at, 20);
  assert.equal(rate.at(2), 12.5);
  assert.equal(rate.at(10), 0);
});
