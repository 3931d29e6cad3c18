/** minijinja templates and expressions, read line by line: what each piece is, and what may stand where
 * somebody types. The server says what is wrong; this only colours and completes. */

export interface TemplateState {
  mode: "text" | "comment" | "raw" | "tag";
  /** What ends the tag; empty in an expression, which has no braces. */
  close: "" | "}}" | "%}";
  /** The sign or word before, as far as it decides what a name is. */
  before: string;
  quote: string;
  depth: number;
}

/** What a name that is being typed would be. */
export type Wanted = "statement" | "filter" | "test" | "name";

const WORDS = new Set(["and", "or", "not", "in", "is", "if", "else"]);
const CONSTANTS = new Set(["true", "false", "none", "True", "False", "None"]);
const OPENS = /\{[{%#][-+]?/g;
const RAW = /\{%[-+]?\s*raw\s*[-+]?%\}/y;
const END_RAW = /\{%[-+]?\s*endraw\s*[-+]?%\}/g;
const CLOSES = /[-+]?[}%]\}/y;
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const NUMBER = /\d\w*(?:\.\d\w*)?/y;
const SIGN = /\/\/|\*\*|[=!<>]=|./sy;

export function begin(expression: boolean): TemplateState {
  return { mode: expression ? "tag" : "text", close: "", before: "", quote: "", depth: 0 };
}

/** The piece of `line` that begins at `at`: where it ends and its style. Changes the state. */
export function read(line: string, at: number, state: TemplateState): [number, string | null] {
  switch (state.mode) {
    case "text":
      return readText(line, at, state);
    case "raw":
      return readRaw(line, at, state);
    case "comment":
      return readComment(line, at, state);
    case "tag":
      return state.quote ? readQuoted(line, at, state) : readTag(line, at, state);
  }
}

/** What may stand at the end of `text`, where a name is being typed or could be; null: no name. */
export function wanted(text: string, expression: boolean): Wanted | null {
  const state = begin(expression);
  for (const line of text.replace(/[\p{L}\p{N}_]*$/u, "").split("\n")) {
    for (let at = 0; at < line.length; ) [at] = read(line, at, state);
  }
  if (state.mode !== "tag" || state.quote || state.before === ".") return null;
  if (state.before === "|") return "filter";
  if (state.before === "is") return "test";
  return state.close === "%}" && !state.before ? "statement" : "name";
}

/** The names that are read or bound in the tags of a text, each once. */
export function namesIn(text: string, expression: boolean): string[] {
  const found = new Set<string>();
  const state = begin(expression);
  for (const line of text.split("\n")) {
    for (let at = 0; at < line.length; ) {
      const [end, style] = read(line, at, state);
      if (style === "variableName") found.add(line.slice(at, end));
      at = end;
    }
  }
  return [...found];
}

function readText(line: string, at: number, state: TemplateState): [number, string | null] {
  const found = firstAfter(OPENS, line, at);
  if (found?.index !== at) return [found?.index ?? line.length, null];
  const raw = matchAt(RAW, line, at);
  if (raw) {
    state.mode = "raw";
    return [at + raw.length, "keyword"];
  }
  const [opens] = found;
  state.mode = opens[1] === "#" ? "comment" : "tag";
  state.close = opens[1] === "%" ? "%}" : "}}";
  state.before = "";
  state.depth = 0;
  return opens[1] === "#" ? readComment(line, at, state) : [at + opens.length, "meta"];
}

function readRaw(line: string, at: number, state: TemplateState): [number, string | null] {
  const found = firstAfter(END_RAW, line, at);
  if (found?.index !== at) return [found?.index ?? line.length, null];
  state.mode = "text";
  return [at + found[0].length, "keyword"];
}

function readComment(line: string, at: number, state: TemplateState): [number, string] {
  const end = line.indexOf("#}", at);
  if (end < 0) return [line.length, "comment"];
  state.mode = "text";
  return [end + 2, "comment"];
}

function readQuoted(line: string, at: number, state: TemplateState): [number, string] {
  for (let place = at; place < line.length; place++) {
    if (line[place] === "\\") place++;
    else if (line[place] === state.quote) {
      state.quote = "";
      state.before = "value";
      return [place + 1, "string"];
    }
  }
  return [line.length, "string"];
}

function readTag(line: string, at: number, state: TemplateState): [number, string | null] {
  const space = line.slice(at).search(/\S/);
  if (space !== 0) return [space < 0 ? line.length : at + space, null];
  const closes = state.depth === 0 && state.close ? matchAt(CLOSES, line, at) : "";
  if (closes && closes.endsWith(state.close)) {
    state.mode = "text";
    return [at + closes.length, "meta"];
  }
  const quote = line[at] ?? "";
  if (quote === '"' || quote === "'") {
    state.quote = quote;
    const [end] = readQuoted(line, at + 1, state);
    return [end, "string"];
  }
  const name = matchAt(NAME, line, at);
  if (name) return [at + name.length, styleOf(name, state)];
  const number = matchAt(NUMBER, line, at);
  if (number) {
    state.before = "value";
    return [at + number.length, "number"];
  }
  return readSign(line, at, state);
}

function readSign(line: string, at: number, state: TemplateState): [number, string] {
  const sign = matchAt(SIGN, line, at);
  const opens = "([{".includes(sign);
  const closes = ")]}".includes(sign);
  state.depth = Math.max(0, state.depth + Number(opens) - Number(closes));
  state.before = sign;
  return [at + sign.length, opens || closes ? "bracket" : "operator"];
}

function styleOf(name: string, state: TemplateState): string {
  const { before } = state;
  const begins = state.close === "%}" && !before;
  state.before = before === "is" && name === "not" ? "is" : WORDS.has(name) ? name : "value";
  if (begins) {
    state.before = "statement";
    return "keyword";
  }
  if (before === "|" || (before === "is" && name !== "not")) return "variableName.function";
  if (before === ".") return "propertyName";
  if (WORDS.has(name)) return "keyword";
  return CONSTANTS.has(name) ? "atom" : "variableName";
}

function firstAfter(pattern: RegExp, line: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(line);
}

function matchAt(pattern: RegExp, line: string, at: number): string {
  pattern.lastIndex = at;
  return pattern.exec(line)?.[0] ?? "";
}
