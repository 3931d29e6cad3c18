/** What completion offers, as the server has it: nothing here knows a filter or a type by name. */

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { wantsType } from "./signature";
import { namesIn, wanted, type Wanted } from "./template";

/** What every template and every signature may say. */
export interface Words {
  statements: string[];
  filters: string[];
  tests: string[];
  functions: string[];
  operators: string[];
  types: TypeWord[];
}

/** A type that a signature may name; `takes`: what stands in its brackets, if it has any. */
export interface TypeWord {
  name: string;
  takes: string;
}

/** A name that a node's text can read, with its type and what it is. */
export interface Name {
  name: string;
  type: string;
  from: string;
}

export interface Offers {
  words(): Promise<Words>;
  names(): Promise<Name[]>;
  /** The names of types that are declared beside the text. */
  ownTypes(): string[];
}

type Source = (context: CompletionContext) => Promise<CompletionResult | null>;

const WORD = /^[\p{L}_][\p{L}\p{N}_]*$/u;
const TYPE = /^[\p{L}_][\p{L}\p{N}_.]*$/u;

export function templateSource(offers: Offers, expression: boolean): Source {
  return async (context) => {
    const before = context.state.sliceDoc(0, context.pos);
    const what = wanted(before, expression);
    const word = context.matchBefore(/[\p{L}\p{N}_]+/u);
    if (!what || (!word && !context.explicit && !/[|{%]\s?$|\bis $/.test(before))) return null;
    const [words, names] = await Promise.all([offers.words(), offers.names()]);
    const rest = `${before.slice(0, word?.from ?? context.pos)} ${context.state.sliceDoc(context.pos)}`;
    const options = optionsFor(what, words, names, namesIn(rest, expression));
    return { from: word?.from ?? context.pos, options, validFor: WORD };
  };
}

export function signatureSource(offers: Offers): Source {
  return async (context) => {
    const word = context.matchBefore(/[\p{L}\p{N}_.]+/u);
    const before = context.state.sliceDoc(0, context.pos);
    if (!wantsType(before) || (!word && !context.explicit && !/[:[|] ?$/.test(before))) return null;
    const { types } = await offers.words();
    const own = offers.ownTypes().map((name) => ({ label: name, detail: "of your own", boost: 2 }));
    return { from: word?.from ?? context.pos, options: [...own, ...types.map(typeOption)], validFor: TYPE };
  };
}

/** The options for one place. Names that only the text itself has come last. */
export function optionsFor(what: Wanted, words: Words, names: Name[], used: string[]): Completion[] {
  const plain = (type: string) => (label: string): Completion => ({ label, type });
  if (what === "statement") return words.statements.map(plain("keyword"));
  if (what === "filter") return words.filters.map(plain("function"));
  if (what === "test") return words.tests.map(plain("function"));
  const known = new Set(names.map(({ name }) => name));
  return [
    ...names.map(({ name, type, from }, place) => ({
      label: name,
      type: "variable",
      detail: [type, from].filter(Boolean).join(" · "),
      boost: 90 - Math.min(place, 80),
    })),
    ...used.filter((name) => !known.has(name)).map((label) => ({ label, type: "variable", boost: 1 })),
    ...words.functions.map((label) => ({ label, type: "function", detail: "function", apply: `${label}(` })),
    ...words.operators.map((label) => ({ label, type: "keyword", boost: -1 })),
  ];
}

function typeOption({ name, takes }: TypeWord, place: number): Completion {
  const boost = -Math.min(place, 90);
  if (!takes) return { label: name, type: "type", boost };
  return { label: name, type: "type", detail: `[${takes}]`, apply: inBrackets(name), boost };
}

/** The type with its brackets, and the cursor between them. */
function inBrackets(name: string): NonNullable<Completion["apply"]> {
  return (view, _option, from, to) => {
    const stands = view.state.sliceDoc(to, to + 1) === "[";
    view.dispatch({
      changes: { from, to, insert: stands ? name : `${name}[]` },
      selection: { anchor: from + name.length + 1 },
      userEvent: "input.complete",
    });
  };
}

const asked = new Map<string, Promise<unknown>>();
const FRESH = 5_000;

/** What an address answers with. Names are asked for anew after a while, since the graph changes. */
export function answerOf<T>(address: string, none: T, keeps: "for good" | "briefly"): Promise<T> {
  if (!address) return Promise.resolve(none);
  const before = asked.get(address) as Promise<T> | undefined;
  if (before) return before;
  const answer = fetch(address, { headers: { Accept: "application/json" } })
    .then((response) => (response.ok ? (response.json() as Promise<T>) : Promise.reject(response.status)))
    .catch(() => {
      asked.delete(address); // completion is a help: without it one can type on
      return none;
    });
  asked.set(address, answer);
  if (keeps === "briefly") setTimeout(() => asked.delete(address), FRESH);
  return answer;
}
