import { edited, locks, refused } from "./testing";
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Keeper } from "./kept";

const NOTHING = { queue: [], refused: [] };

beforeEach(() => {
  for (const store of [localStorage, sessionStorage]) for (const key of Object.keys(store)) store.removeItem(key);
  locks.clear();
});

/** The tab goes: its lock is free again, what it has written stays. */
function closed(): void {
  locks.clear();
  sessionStorage.removeItem("dspex-tab");
}

test("a page that is loaded again finds what it had", async () => {
  const first = await Keeper.open("a:");
  const kept = { queue: [edited("one")], refused: [{ edit: edited("two"), answer: refused(1)({ id: "two" }) }] };
  first.save(kept);
  locks.clear(); // the old page's lock goes with it
  assert.deepEqual(await (await Keeper.open("a:")).restore(), kept);
});

test("what a closed tab left behind is taken over once", async () => {
  (await Keeper.open("a:")).save({ queue: [edited("one")], refused: [] });
  closed();
  const next = await Keeper.open("a:");
  assert.equal((await next.restore()).queue.length, 1);
  next.save(NOTHING);
  closed();
  assert.deepEqual(await (await Keeper.open("a:")).restore(), NOTHING);
});

test("what another tab that is open has is its own", async () => {
  (await Keeper.open("a:")).save({ queue: [edited("one")], refused: [] });
  const other = await Keeper.open("a:"); // a duplicated tab: same name, but the lock is held
  assert.deepEqual(await other.restore(), NOTHING);
});

test("another pipeline's edits are left alone", async () => {
  (await Keeper.open("a:")).save({ queue: [edited("one")], refused: [] });
  closed();
  assert.deepEqual(await (await Keeper.open("b:")).restore(), NOTHING);
});

test("what can't be read is no reason to fail", async () => {
  localStorage.setItem("a:gone", "{not json");
  assert.deepEqual(await (await Keeper.open("a:")).restore(), NOTHING);
});
