import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge, changeBetween } from "./bridge";

/** A text box as far as the bridge knows one. */
class Box extends EventTarget {
  readonly form = new EventTarget();
  readonly name = "field";
  private text = "first";

  get value(): string {
    return this.text;
  }

  set value(text: string) {
    this.text = text;
  }
}

function bridged() {
  const box = new Box();
  const shown: string[] = [];
  const heard: string[] = [];
  for (const name of ["input", "change"]) {
    box.addEventListener(name, () => heard.push(`${name}:${box.value}`));
  }
  const bridge = new Bridge(box as unknown as HTMLTextAreaElement, (text) => shown.push(text));
  return { box, bridge, shown, heard };
}

test("what is typed is in the box, and is told as if it had been typed there", () => {
  const { box, bridge, shown, heard } = bridged();
  bridge.entered();
  bridge.typed(6, () => "second");
  assert.equal(box.value, "second");
  assert.deepEqual(heard, ["input:second"]);
  assert.deepEqual(shown, []);
  bridge.left();
  bridge.left();
  assert.deepEqual(heard, ["input:second", "change:second"]);
});

test("what a script writes into the box is shown and is no typing", () => {
  const { box, shown, heard } = bridged();
  box.value = "by a script";
  assert.equal(box.value, "by a script");
  assert.deepEqual(shown, ["by a script"]);
  assert.deepEqual(heard, []);
});

test("a long text is read and sent as it is typed, and put into the box in the end", () => {
  const { box, bridge, heard } = bridged();
  const native = Object.getOwnPropertyDescriptor(Box.prototype, "value")?.get;
  let asked = 0;
  bridge.typed(1_000_000, () => `long ${++asked}`);
  assert.equal(native?.call(box), "first");
  assert.equal(box.value, "long 1");
  assert.deepEqual(heard, ["input:long 1"]);
  const formData = new FormData();
  formData.set("field", "first");
  box.form.dispatchEvent(Object.assign(new Event("formdata"), { formData }));
  assert.equal(formData.get("field"), "long 1");
  bridge.left();
  assert.equal(native?.call(box), "long 1");
  assert.equal(heard.at(-1), "change:long 1");
});

test("what a script writes counts more than what was typed before", () => {
  const { box, bridge, shown } = bridged();
  bridge.typed(1_000_000, () => "typed");
  box.value = "written";
  assert.equal(box.value, "written");
  assert.deepEqual(shown, ["written"]);
});

test("a box that is let go of is as before", () => {
  const { box, bridge, shown } = bridged();
  bridge.release();
  box.value = "alone again";
  assert.deepEqual(shown, []);
  assert.equal(Object.hasOwn(box, "value"), false);
});

test("leaving without having typed tells nothing", () => {
  const { bridge, heard } = bridged();
  bridge.entered();
  bridge.left();
  assert.deepEqual(heard, []);
});

for (const [before, after, change] of [
  ["abc", "abXc", { from: 2, to: 2, insert: "X" }],
  ["aaa", "aa", { from: 2, to: 3, insert: "" }],
  ["", "new", { from: 0, to: 0, insert: "new" }],
  ["one two", "one 2 two", { from: 4, to: 4, insert: "2 " }],
] as const) {
  test(`the change from ${before} to ${after}`, () => assert.deepEqual(changeBetween(before, after), change));
}
