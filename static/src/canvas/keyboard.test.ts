import assert from "node:assert/strict";
import { test } from "node:test";
import { actionOf, isEdit, type Key } from "./keyboard";

/** `Ctrl+Shift+z` */
function key(text: string): Key {
  const parts = text.split("+");
  return {
    key: parts.at(-1) || "+",
    ctrlKey: parts.includes("Ctrl"),
    metaKey: parts.includes("Cmd"),
    shiftKey: parts.includes("Shift"),
    altKey: parts.includes("Alt"),
  };
}

const cases: Record<string, string | null> = {
  ArrowRight: "walk",
  "Shift+ArrowUp": "move",
  "Ctrl+ArrowUp": "move",
  Tab: "step",
  "Shift+Tab": "step",
  Enter: "open",
  "Ctrl+Enter": "run",
  "Shift+Enter": "run-step",
  "Ctrl+Shift+Enter": "run-from",
  Delete: "remove",
  Backspace: "remove",
  Escape: "escape",
  " ": "toggle",
  F2: "rename",
  c: "connect",
  l: "connect",
  a: "add",
  "Ctrl+a": "all",
  "Cmd+a": "all",
  "Ctrl+d": "duplicate",
  "Ctrl+z": "undo",
  "Ctrl+Shift+Z": "redo",
  "Cmd+Shift+z": "redo",
  "Ctrl+y": "redo",
  "1": "fit",
  "Ctrl+1": "fit",
  "0": "reset-zoom",
  "Ctrl+0": "reset-zoom",
  "+": "zoom-in",
  "Shift+": "zoom-in",
  "=": "zoom-in",
  "Ctrl+=": "zoom-in",
  "-": "zoom-out",
  // The browser's own, or the page's.
  "Ctrl+c": null,
  "Ctrl+v": null,
  "Ctrl+s": null,
  "Ctrl+Tab": null,
  "Shift+?": null,
  "Alt+ArrowLeft": null,
  x: null,
};

for (const [text, action] of Object.entries(cases)) {
  test(`${text} is ${action ?? "not ours"}`, () => {
    assert.equal(actionOf(key(text))?.do ?? null, action);
  });
}

test("a read-only canvas refuses what would change the graph, and only that", () => {
  assert.ok(isEdit({ do: "remove" }) && isEdit({ do: "undo" }));
  assert.ok(!isEdit({ do: "open" }) && !isEdit({ do: "fit" }));
});
