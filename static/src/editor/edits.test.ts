import { applied, named, added, refused, Server, settle } from "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Edits, type Place, type SaveState } from "./edits";
import { Keeper } from "./kept";

async function page(revision = 0) {
  const server = new Server();
  const places: Place[] = [];
  const refusals: string[] = [];
  const states: SaveState[] = [];
  const keeper = await Keeper.open(`edits-${Math.random()}:`);
  const edits = new Edits("/operations/", keeper, revision, {
    applied: (_edit, _answer, place) => places.push(place),
    refused: (edit) => refusals.push(edit.id),
    state: (state) => states.push(state),
  });
  return { server, edits, places, refusals, states, keeper };
}

test("edits go one by one, each made on the one before", async () => {
  const { server, edits, places } = await page(4);
  server.says(applied(5), applied(6));
  edits.add(added("a"));
  edits.add(added("b"));
  await settle();
  assert.deepEqual(server.sent.map((each) => each.base_revision), [4, 5]);
  assert.deepEqual(places, ["next", "next"]);
  assert.equal(edits.revision, 6);
});

test("typing on in one field is one edit until it is sent", async () => {
  const { server, edits } = await page();
  server.says(applied(1), applied(2));
  edits.add(added("b")); // on its way
  for (const label of ["N", "Na", "Name"]) edits.add(named(label));
  await settle();
  assert.deepEqual(server.sent.slice(1).map((each) => each.operation), [named("Name")]);
});

test("what nobody answers is kept and sent again under the same id", async () => {
  const { server, edits, states } = await page();
  server.says("nothing", 503, applied(1));
  const id = edits.add(named("Offline"));
  await settle();
  assert.deepEqual(states.at(-1), { is: "offline", edits: 1 });
  const settled = edits.settled();
  await settle();
  void edits.settled();
  await settled;
  assert.deepEqual(server.sent.map((each) => each.id), [id, id, id]);
  assert.deepEqual(states.at(-1), { is: "saved", revision: 1 });
});

test("who may not edit any more is told, and keeps the edit", async () => {
  const { server, edits, states } = await page();
  server.says(403);
  edits.add(named("Mine"));
  await settle();
  assert.equal(states.at(-1)?.is, "denied");
  assert.equal(edits.queue.length, 1);
  await assert.rejects(edits.settled(), /may not edit this any more/);
});

test("a refused edit is held until its person has decided", async () => {
  const { server, edits, refusals, states } = await page();
  server.says(refused(1, {}), applied(2));
  const id = edits.add(named("Mine"));
  await settle();
  assert.deepEqual(refusals, [id]);
  assert.deepEqual(states.at(-1), { is: "conflict", edits: 1 });
  edits.revision = 1; // the page has taken what was done since
  edits.decide(id, true);
  await settle();
  assert.equal(server.sent.at(-1)?.base_revision, 1);
  assert.deepEqual(states.at(-1), { is: "saved", revision: 2 });
});

test("what this page did before is not in its own way", async () => {
  const { server, edits, refusals } = await page();
  server.says(applied(1), refused(1, { revision: 1, author_id: 7 }), applied(2));
  edits.add(added("a"));
  await settle();
  edits.add(named("Mine"), { base: 0 });
  await settle();
  assert.deepEqual(refusals, []);
  assert.deepEqual(server.sent.map((each) => each.base_revision), [0, 0, 1]);
});

test("one's own other tab is in the way like anybody else", async () => {
  const { server, edits, refusals } = await page();
  server.says(refused(1, { revision: 1, author_id: 7 }));
  edits.add(named("Mine"));
  await settle();
  assert.equal(refusals.length, 1);
});

test("an edit is not moved on top of what others did in between", async () => {
  const { server, edits, places } = await page();
  server.says(applied(2), refused(2, { revision: 1 }));
  edits.add(added("a"));
  edits.add(named("Mine"));
  await settle();
  assert.deepEqual(places, ["ahead"]);
  assert.equal(edits.revision, 0); // revision 1 has not been seen yet
  assert.deepEqual(server.sent.map((each) => each.base_revision), [0, 0]);
});

test("an answer that the page has already is known", async () => {
  const { server, edits, places } = await page();
  server.says((sent) => {
    edits.revision = 1; // the live socket was quicker
    return applied(1)(sent);
  });
  const id = edits.add(named("Mine"));
  assert.ok(edits.isMine(id, 1));
  await settle();
  assert.deepEqual(places, ["known"]);
  assert.ok(edits.isMine("another", 1) && !edits.isMine("another", 2));
});

test("what was kept is taken up again", async () => {
  const { server, edits, keeper } = await page();
  keeper.save({ queue: [{ id: "one", base: 0, operation: named("Kept") }], refused: [] });
  server.says(applied(1));
  await edits.restore();
  await settle();
  assert.deepEqual(server.sent.map((each) => each.id), ["one"]);
  assert.deepEqual(await keeper.restore(), { queue: [], refused: [] });
});

test("taking back is sent as such", async () => {
  const { server, edits } = await page();
  server.says(applied(1), applied(2));
  const id = edits.add(named("Mine"));
  edits.undo(id);
  await settle();
  assert.equal(server.sent[1]?.undoes, id);
  assert.equal(server.sent[1]?.operation, undefined);
});
