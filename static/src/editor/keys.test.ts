import "./testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf } from "./keys";

/** A key pressed in an element that is, or lies in, one of these. */
function pressed(text: string, inside = ""): KeyboardEvent {
  const parts = text.split("+");
  const closest = (selector: string) => (inside && selector.split(", ").includes(inside) ? {} : null);
  return {
    key: parts.at(-1),
    ctrlKey: parts.includes("Ctrl"),
    metaKey: parts.includes("Cmd"),
    shiftKey: parts.includes("Shift"),
    altKey: parts.includes("Alt"),
    target: { closest },
  } as unknown as KeyboardEvent;
}

const cases: [string, string, string | null][] = [
  ["Ctrl+s", "", "save"],
  ["Ctrl+s", "textarea", "save"],
  ["Cmd+Enter", "input", "run"],
  ["Ctrl+z", "", "undo"],
  ["Ctrl+z", "textarea", null], // the browser's own
  ["Ctrl+Shift+Z", "", "redo"],
  ["Ctrl+y", "", "redo"],
  ["Ctrl+d", "", "duplicate"],
  ["a", "", "add"],
  ["a", "input", null],
  ["Delete", "", "remove"],
  ["Delete", "textarea", null],
  ["Backspace", "button", null],
  ["F2", "button", "rename"],
  ["j", "", "toggleDrawer"],
  ["1", "", "fit"],
  ["Alt+a", "", null],
  ["Tab", "", null], // the browser's, wherever the focus is
  ["x", "", null],
];

for (const [key, inside, command] of cases) {
  test(`${key}${inside && ` in ${inside}`}: ${command}`, () => assert.equal(commandOf(pressed(key, inside)), command));
}
