/** JSON as text: where it goes wrong, and the same text with one value a line. What is written stays as it is:
 * no number is rounded, no key dropped. */

export interface Problem {
  from: number;
  to: number;
  message: string;
}

interface Token {
  kind: "{" | "}" | "[" | "]" | ":" | "," | "value" | "text" | "end" | "bad";
  from: number;
  to: number;
}

type Container = "{" | "[";
/** What may come next in the innermost container. */
type Next = "value" | "value or end" | "key" | "key or end" | "colon" | "comma or end";

const SPACES = new Set([" ", "\n", "\r", "\t"]);
const WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;
const JUNK = /[\w.+-]+|./suy;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** The first thing that keeps a text from being JSON; null when it is JSON. */
export function problemIn(text: string): Problem | null {
  try {
    JSON.parse(text); // the browser's own reader is much faster, but does not say where
    return null;
  } catch {
    return walk(text, () => {});
  }
}

/** The text with one value a line, two spaces a level; null when it is not JSON. */
export function formatted(text: string): string | null {
  if (problemIn(text)) return null;
  const parts: string[] = [];
  let level = 0;
  let before: Token["kind"] = "end";
  const line = () => parts.push("\n", "  ".repeat(level));
  walk(text, ({ kind, from, to }) => {
    const closes = kind === "}" || kind === "]";
    const empty = before === "{" || before === "[";
    if (closes) level--;
    if (before === "," || (empty ? !closes : closes)) line();
    parts.push(text.slice(from, to), kind === ":" ? " " : "");
    if (kind === "{" || kind === "[") level++;
    before = kind;
  });
  return parts.join("");
}

/** Goes through a text's tokens up to the first that is wrong. */
function walk(text: string, visit: (token: Token) => void): Problem | null {
  const open: Container[] = [];
  let next: Next | "nothing" = "value";
  for (let token = tokenAt(text, 0); ; token = tokenAt(text, token.to)) {
    if (token.kind === "end" && next === "nothing") return null;
    const follows: Next | "nothing" | null = token.kind === "bad" ? null : after(token.kind, next, open);
    if (follows === null) return problemAt(text, token, next, open);
    visit(token);
    next = follows;
  }
}

function after(kind: Token["kind"], next: Next | "nothing", open: Container[]): Next | "nothing" | null {
  const inner = open.at(-1);
  const ended = (): Next | "nothing" => (open.length ? "comma or end" : "nothing");
  if (kind === "}" || kind === "]") {
    const fits = inner === (kind === "}" ? "{" : "[");
    if (!fits || !next.endsWith("or end")) return null;
    open.pop();
    return ended();
  }
  if (next === "key" || next === "key or end") return kind === "text" ? "colon" : null;
  if (next === "colon") return kind === ":" ? "value" : null;
  if (next === "comma or end") return kind === "," ? (inner === "{" ? "key" : "value") : null;
  if (next === "nothing") return null;
  if (kind === "{" || kind === "[") {
    open.push(kind);
    return kind === "{" ? "key or end" : "value or end";
  }
  return kind === "value" || kind === "text" ? ended() : null;
}

function tokenAt(text: string, start: number): Token {
  let from = start;
  while (SPACES.has(text[from] ?? "")) from++;
  const sign = text[from];
  if (sign === undefined) return { kind: "end", from: text.length, to: text.length };
  if ("{}[]:,".includes(sign)) return { kind: sign as Container, from, to: from + 1 };
  if (sign === '"') {
    const to = textEnd(text, from + 1);
    return to > 0 ? { kind: "text", from, to } : { kind: "bad", from, to: -to };
  }
  WORD.lastIndex = JUNK.lastIndex = from;
  const word = WORD.exec(text)?.[0];
  if (word) return { kind: "value", from, to: from + word.length };
  return { kind: "bad", from, to: from + (JUNK.exec(text)?.[0].length ?? 1) };
}

/** Where a text ends, behind its quote; negative: where it goes wrong. */
function textEnd(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) return at + 1;
    if (code < 32) return -at;
    if (code !== 92) continue;
    ESCAPE.lastIndex = at;
    const escape = ESCAPE.exec(text)?.[0];
    if (!escape) return -(at + 1);
    at += escape.length - 1;
  }
  return -text.length;
}

function problemAt(text: string, token: Token, next: Next | "nothing", open: Container[]): Problem {
  const { from, to } = token;
  const end = open.at(-1) === "{" ? "}" : "]";
  const found = token.kind === "end" ? "the end" : shown(text.slice(from, to));
  return { from, to, message: `This is not JSON: ${why(text, token, next, end)}, and here is ${found}.` };
}

function why(text: string, token: Token, next: Next | "nothing", end: string): string {
  const comma = /,\s*$/.test(text.slice(0, token.from)) && (token.kind === "}" || token.kind === "]");
  if (comma) return "no comma stands before the end";
  if (token.kind === "bad" && text[token.from] === '"') return "a text ends in its line with a quote";
  switch (next) {
    case "value":
      return "a value is expected";
    case "value or end":
      return "a value or ] is expected";
    case "key":
      return "a key in double quotes is expected";
    case "key or end":
      return "a key in double quotes or } is expected";
    case "colon":
      return "a colon is expected after a key";
    case "comma or end":
      return `a comma or ${end} is expected`;
    case "nothing":
      return "it has ended";
  }
}

function shown(piece: string): string {
  const short = piece.length > 20 ? `${piece.slice(0, 20)}…` : piece;
  return short.replace(/\s+/g, " ");
}
