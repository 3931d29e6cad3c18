import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { COLOURS, firstName, initials, People, SILENT } from "./people";

const maya = { id: 2, name: "Maya Lind" };

test("each person is one circle, however many tabs they have", () => {
  const people = new People(1);
  people.heard("x", maya, "a", 0);
  people.heard("y", maya, "b", 0);
  people.heard("z", { id: 1, name: "Me" }, "c", 0);
  assert.deepEqual(people.others(), [{ ...maya, colour: 2 }]);
  assert.deepEqual(people.marks(), { a: { names: "Maya", colour: 2 }, b: { names: "Maya", colour: 2 } });
});

test("people are told apart by colour while there are enough", () => {
  const people = new People(0);
  for (let at = 1; at <= COLOURS; at++) people.heard(`${at}`, { id: at * COLOURS, name: "Somebody" }, null, 0);
  assert.equal(new Set(people.others().map(({ colour }) => colour)).size, COLOURS);
});

test("two people at one node are both named", () => {
  const people = new People(1);
  people.heard("x", maya, "a", 0);
  people.heard("y", { id: 3, name: "ravi" }, "a", 0);
  assert.deepEqual(people.marks(), { a: { names: "Maya, ravi", colour: 2 } });
});

test("who is not heard of for a while is gone", () => {
  const people = new People(1);
  people.heard("x", maya, "a", 0);
  assert.equal(people.forget(SILENT), false);
  people.heard("x", maya, "a", 10_000);
  assert.equal(people.forget(SILENT + 1), false);
  assert.equal(people.forget(10_001 + SILENT), true);
  assert.deepEqual(people.others(), []);
});

test("names are shortened as the server shortens them", () => {
  assert.deepEqual(["Maya Lind", "maya", "j.doe", "Ada King Lovelace", ""].map(initials), ["ML", "MA", "JD", "AK", ""]);
  assert.equal(firstName("Maya Lind"), "Maya");
});
