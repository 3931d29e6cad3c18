/** What tests of the languages stand on. */

import assert from "node:assert/strict";

/** The pieces of a text that have a style, as `style:text`. */
export function piecesOf<State>(
  text: string,
  state: State,
  read: (line: string, at: number, state: State) => [number, string | null],
): string[] {
  const found: string[] = [];
  for (const line of text.split("\n")) {
    for (let at = 0; at < line.length; ) {
      const [end, style] = read(line, at, state);
      assert.ok(end > at, `stands still at ${at} of ${line}`);
      if (style) found.push(`${style}:${line.slice(at, end)}`);
      at = end;
    }
  }
  return found;
}
