/** What the page says of a text, marked in it. Whatever describes a field (`aria-describedby`, or
 * `data-problems` of its `<code-editor>`) may say where a problem is:
 *
 *   <p class="err" data-line="2" data-column="5" data-length="3">…</p>
 *   <p class="err" data-path='[0, "question"]'>…</p>
 *
 * Lines and columns count from 1, columns and lengths in characters. Without a column it is the line. A path
 * leads to a value in JSON. */

import type { Diagnostic } from "@codemirror/lint";
import { ensureSyntaxTree } from "@codemirror/language";
import type { EditorState, Text } from "@codemirror/state";
import { placeAt, type Path } from "./jsonpath";

/** Milliseconds for reading a long text up to its end. */
const PARSING = 200;

export interface Told {
  line: number;
  column: number | null;
  length: number;
  path?: Path | undefined;
  severity: "error" | "warning";
  message: string;
}

export function toldIn(places: Element[]): Told[] {
  const said = places.flatMap((place) => [...place.querySelectorAll<HTMLElement>("[data-line], [data-path]")]);
  return said.map((each) => ({
    line: Number(each.dataset.line) || 1,
    column: Number(each.dataset.column) || null,
    length: Number(each.dataset.length) || 1,
    path: each.dataset.path ? (JSON.parse(each.dataset.path) as Path) : undefined,
    severity: each.matches(".hint, .lacks") ? "warning" : "error",
    message: each.textContent?.trim() ?? "",
  }));
}

/** What is told, marked in the text of an editor; null when there is nothing to mark. */
export function markedIn(state: EditorState, told: Told): Diagnostic | null {
  if (!told.path) return marked(state.doc, told);
  const tree = ensureSyntaxTree(state, state.doc.length, PARSING);
  const place = tree && placeAt(state.doc.toString(), tree.topNode, told.path);
  return place && { ...place, severity: told.severity, message: told.message };
}

/** In the text as it is by now: what is told may be of one that was longer. */
export function marked(doc: Text, { line, column, length, severity, message }: Told): Diagnostic {
  const found = doc.line(Math.max(1, Math.min(line, doc.lines)));
  if (column === null) return { ...inked(found), severity, message };
  const from = found.from + units(found.text, column - 1);
  const rest = doc.sliceString(from, Math.min(doc.length, from + 2 * length));
  const to = from + units(rest, length);
  // What is missing at the end is marked at the character before.
  return { from: from === to ? Math.max(found.from, from - 1) : from, to, severity, message };
}

function inked({ from, text }: { from: number; text: string }): { from: number; to: number } {
  const indent = text.length - text.trimStart().length;
  return { from: from + indent, to: from + Math.max(indent, text.trimEnd().length) };
}

/** How many UTF-16 units the first characters of a text take. */
function units(text: string, characters: number): number {
  let at = 0;
  for (let count = 0; count < characters && at < text.length; count++) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}
