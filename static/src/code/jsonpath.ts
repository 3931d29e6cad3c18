/** Where in a JSON text the value is that a path leads to. */

import type { SyntaxNode } from "@lezer/common";

export type Path = (string | number)[];

/** The value's place, or that of the innermost one that is there. Of an object or a list it is the key before
 * it, or its bracket: the whole would be many lines. */
export function placeAt(text: string, top: SyntaxNode, path: Path): { from: number; to: number } | null {
  let value = valueIn(top);
  let key: SyntaxNode | null = null;
  for (const part of path) {
    const [next, itsKey]: [SyntaxNode | null, SyntaxNode | null] = value ? child(text, value, part) : [null, null];
    if (!next) break;
    value = next;
    key = itsKey;
  }
  if (!value) return null;
  if (value.name !== "Object" && value.name !== "Array") return { from: value.from, to: value.to };
  return key ? { from: key.from, to: key.to } : { from: value.from, to: value.from + 1 };
}

function child(text: string, value: SyntaxNode, part: string | number): [SyntaxNode | null, SyntaxNode | null] {
  if (value.name === "Array") return [values(value)[Number(part)] ?? null, null];
  for (const property of value.name === "Object" ? value.getChildren("Property") : []) {
    const key = property.getChild("PropertyName");
    if (key && keyOf(text.slice(key.from, key.to)) === String(part)) return [valueIn(property), key];
  }
  return [null, null];
}

function valueIn(node: SyntaxNode): SyntaxNode | null {
  return values(node)[0] ?? null;
}

function values(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let each = node.firstChild; each; each = each.nextSibling) {
    if (/^(Object|Array|String|Number|True|False|Null)$/.test(each.name)) found.push(each);
  }
  return found;
}

function keyOf(quoted: string): string | null {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return null;
  }
}
