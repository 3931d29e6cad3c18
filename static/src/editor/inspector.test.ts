import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { forNode, placed } from "./inspector";

const ADDRESS = "/pipelines/1/nodes/NODE/?version=2";

const cases: [string, string][] = [
  ["ask_2", "/pipelines/1/nodes/ask_2/?version=2"],
  ["../../x", "/pipelines/1/nodes/..%2F..%2Fx/?version=2"],
  ["$&", "/pipelines/1/nodes/%24%26/?version=2"],
  ["a?b#c", "/pipelines/1/nodes/a%3Fb%23c/?version=2"],
];

for (const [node, address] of cases) {
  test(`the address of the node ${node}`, () => assert.equal(forNode(ADDRESS, node), address));
}

test("an option is changed among those that nobody knows", () => {
  assert.deepEqual(placed({ max_iters: 3, other: [1] }, "max_iters", 5), { max_iters: 5, other: [1] });
  assert.deepEqual(placed({ max_iters: 3, other: [1] }, "max_iters", undefined), { other: [1] });
  assert.deepEqual(placed(undefined, "max_iters", 5), { max_iters: 5 });
});

test("the last option that is taken away takes the field along", () => {
  assert.equal(placed({ max_iters: 3 }, "max_iters", undefined), undefined);
  assert.deepEqual(placed("no object", "n", 2), { n: 2 });
});
