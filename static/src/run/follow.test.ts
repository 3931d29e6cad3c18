import assert from "node:assert/strict";
import { test } from "node:test";
import { EndOf, Follow, type Scroller } from "./follow";

/** A box 100 high that scrolls, as browsers do no further than its end. */
class Box implements Scroller {
  scrollHeight = 100;
  clientHeight = 100;
  private at = 0;
  get scrollTop(): number {
    return this.at;
  }
  set scrollTop(to: number) {
    this.at = Math.min(to, this.scrollHeight - this.clientHeight);
  }
}

function box(): [Follow, Box, number[]] {
  const scroller = new Box();
  const said: number[] = [];
  return [new Follow(scroller, (lines) => said.push(lines)), scroller, said];
}

test("who is at the end stays at the end", () => {
  const [follow, scroller, said] = box();
  scroller.scrollHeight = 400;
  follow.grew();
  assert.equal(scroller.scrollTop, 300);
  assert.deepEqual(said, []);
});

test("who has scrolled up stays there, and is told how many lines have come", () => {
  const [follow, scroller, said] = box();
  scroller.scrollHeight = 400;
  follow.grew();
  scroller.scrollTop = 120;
  follow.scrolled();
  scroller.scrollHeight = 640;
  follow.grew();
  assert.equal(scroller.scrollTop, 120);
  assert.equal(said.at(-1), 12);
});

/** One who has read 400 pixels of it and has gone up. */
function away(): [Follow, Box, number[]] {
  const [follow, scroller, said] = box();
  scroller.scrollHeight = 400;
  follow.grew();
  scroller.scrollTop = 50;
  follow.scrolled();
  return [follow, scroller, said];
}

test("text that comes before the scroll is told does not end the following", () => {
  const [follow, scroller] = box();
  scroller.scrollHeight = 400;
  follow.grew();
  scroller.scrollHeight = 700;
  follow.scrolled();
  follow.grew();
  assert.equal(scroller.scrollTop, 600);
});

test("scrolling back to the end follows again", () => {
  const [follow, scroller, said] = away();
  scroller.scrollTop = 290;
  follow.scrolled();
  assert.equal(said.at(-1), 0);
  scroller.scrollHeight = 500;
  follow.grew();
  assert.equal(scroller.scrollTop, 400);
});

test("the button leads to the end", () => {
  const [follow, scroller, said] = away();
  follow.resume();
  assert.equal(scroller.scrollTop, 300);
  assert.equal(said.at(-1), 0);
});

test("text that settles takes less room and counts as no line", () => {
  const [follow, scroller, said] = away();
  scroller.scrollHeight = 340;
  follow.grew();
  scroller.scrollHeight = 360;
  follow.grew();
  assert.equal(said.at(-1), 1);
});

test("what stands beside the text and is longer does not scroll it away", () => {
  const box = { scrollTop: 0, clientHeight: 100, getBoundingClientRect: () => ({ top: 10 }) };
  const text = { height: 60, getBoundingClientRect: () => ({ bottom: 10 + text.height - box.scrollTop }) };
  const follow = new Follow(new EndOf(box as unknown as Element, text as unknown as Element), () => {});
  follow.grew();
  assert.equal(box.scrollTop, 0);
  text.height = 150;
  follow.grew();
  assert.equal(box.scrollTop, 50);
  box.scrollTop = 90; // somebody looks at what stands beside
  follow.grew();
  assert.equal(box.scrollTop, 90);
});
