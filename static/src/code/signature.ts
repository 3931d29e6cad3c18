/** DSPy's signatures, read line by line: fields, types and the arrow. */

export interface SignatureState {
  part: "name" | "type";
  depth: number;
  quote: string;
}

const SPACE = /[\s\\]+|#.*/y;
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const TYPE = /[\p{L}_][\p{L}\p{N}_]*(?:\s*\.\s*[\p{L}_][\p{L}\p{N}_]*)*/uy;
const QUOTE = /[a-zA-Z]{0,2}("""|'''|"|')/y;
const NUMBER = /-?\d[\w.]*/y;
const CONSTANTS = new Set(["True", "False", "None"]);

export function begin(): SignatureState {
  return { part: "name", depth: 0, quote: "" };
}

/** The piece of `line` that begins at `at`: where it ends and its style. Changes the state. */
export function read(line: string, at: number, state: SignatureState): [number, string | null] {
  if (at === 0 && state.quote.length === 1) state.quote = ""; // it has to end in its line
  if (state.quote) return readQuoted(line, at, state);
  const space = matchAt(SPACE, line, at);
  if (space) return [at + space.length, space.startsWith("#") ? "comment" : null];
  const quote = matchAt(QUOTE, line, at);
  if (quote) {
    state.quote = quote.replace(/^[a-zA-Z]*/, "");
    return readQuoted(line, at + quote.length, state);
  }
  const name = matchAt(state.part === "type" ? TYPE : NAME, line, at);
  if (name) return [at + name.length, styleOf(name, state)];
  if (line.startsWith("->", at)) {
    state.part = "name";
    state.depth = 0;
    return [at + 2, "controlOperator"];
  }
  const number = matchAt(NUMBER, line, at);
  return number ? [at + number.length, "number"] : readSign(line, at, state);
}

/** Whether a type may stand at the end of `text`, as far as it has been typed. */
export function wantsType(text: string): boolean {
  const state = begin();
  for (const line of text.replace(/[\p{L}\p{N}_.]*$/u, "").split("\n")) {
    for (let at = 0; at < line.length; ) [at] = read(line, at, state);
  }
  return state.part === "type" && !state.quote;
}

function readQuoted(line: string, at: number, state: SignatureState): [number, string] {
  for (let place = at; place < line.length; place++) {
    if (line[place] === "\\") place++;
    else if (line.startsWith(state.quote, place)) {
      const end = place + state.quote.length;
      state.quote = "";
      return [end, "string"];
    }
  }
  return [line.length, "string"];
}

function readSign(line: string, at: number, state: SignatureState): [number, string] {
  const sign = line[at] ?? "";
  const bracket = "[(".includes(sign) ? 1 : "])".includes(sign) ? -1 : 0;
  state.depth = Math.max(0, state.depth + bracket);
  if (sign === ":" && state.depth === 0) state.part = "type";
  if (sign === "," && state.depth === 0) state.part = "name";
  return [at + 1, bracket ? "bracket" : "operator"];
}

function styleOf(name: string, { part, depth }: SignatureState): string {
  if (part === "name") return "variableName";
  return depth && CONSTANTS.has(name) ? "atom" : "typeName";
}

function matchAt(pattern: RegExp, line: string, at: number): string {
  pattern.lastIndex = at;
  return pattern.exec(line)?.[0] ?? "";
}
