import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, sentence, type GoingRun } from "./otherruns";

const adas: GoingRun = { run: "a", by: "Ada Lovelace", mine: false, ended: false };
const jos: GoingRun = { run: "j", by: "Jo Oduya", mine: false, ended: false };
const own: GoingRun = { run: "m", by: "Me", mine: true, ended: false };

function followed(shown: Parameters<typeof choose>[0], ...going: GoingRun[]): string | undefined {
  return choose(shown, going).follow?.run;
}

test("a panel that shows nothing follows the newest run", () => {
  assert.deepEqual(choose(null, [jos, adas]), { follow: jos, tell: [adas] });
});

test("what goes on in the panel is left alone, whoever began it", () => {
  for (const mine of [true, false]) {
    const shown = { run: "x", mine, ended: false };
    assert.deepEqual(choose(shown, [own, adas]), { follow: null, tell: [own, adas] });
  }
});

test("one's own result is not taken away by what others run, but by a newer one of one's own", () => {
  const result = { run: "x", mine: true, ended: true };
  assert.deepEqual(choose(result, [adas]), { follow: null, tell: [adas] });
  assert.deepEqual(choose(result, [adas, own]), { follow: own, tell: [adas] });
});

test("what others have run gives way to what they run next", () => {
  assert.equal(followed({ run: "a", mine: false, ended: true }, jos), "j");
});

test("a run that was too quick to be seen is shown, and none that is older than what is shown", () => {
  const quick = { ...adas, run: "c", ended: true };
  assert.deepEqual(choose(null, [quick]), { follow: quick, tell: [] });
  assert.equal(followed({ run: "b", mine: false, ended: true }, quick), "c");
  assert.equal(followed({ run: "d", mine: false, ended: true }, quick), undefined);
  assert.deepEqual(choose({ run: "b", mine: true, ended: true }, [quick]), { follow: null, tell: [] });
});

test("the run that is shown is nothing to tell of", () => {
  assert.deepEqual(choose({ run: "a", mine: false, ended: false }, [adas]), { follow: null, tell: [] });
});

test("who runs it is said in a sentence", () => {
  assert.equal(sentence([]), "");
  assert.equal(sentence([own]), "You run this in another tab");
  assert.equal(sentence([adas]), "Ada Lovelace runs this");
  assert.equal(sentence([adas, adas]), "Ada Lovelace runs this");
  assert.equal(sentence([adas, jos]), "Ada Lovelace and 1 other run this");
  assert.equal(sentence([own, jos, adas]), "You and 2 others run this");
});
