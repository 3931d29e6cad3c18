/** How a run's things look, wherever a script draws them. */

import type { Progress } from "../canvas/types";
import { glyph } from "../site/toasts";

export const GLYPHS: Record<string, string> = {
  queued: "queued",
  running: "running",
  waiting: "waiting",
  suspended: "waiting",
  cancelling: "running",
  succeeded: "ok",
  failed: "failed",
  cancelled: "cancelled",
  skipped: "skipped",
  cached: "cached",
};
const WORDS: Record<string, string> = {
  cancelling: "Stopping",
  cancelled: "Stopped",
  cached: "From cache",
};
/** Characters of one value that a line shows, and how many items of a list. */
const SHOWN = 4_000;
const CHIPS = 12;
const CHIP = 40;

export function word(status: string): string {
  return WORDS[status] ?? status.charAt(0).toUpperCase() + status.slice(1);
}

export function said(tag: string, css: string, text = "", role = ""): HTMLElement {
  const made = document.createElement(tag);
  if (css) made.className = css;
  made.textContent = text;
  if (role) made.setAttribute("role", role);
  return made;
}

/** The glyph of a status, with its word for those who don't see it. */
export function state(status: string): Node[] {
  return [glyph(GLYPHS[status] ?? "queued"), said("span", "sr", word(status))];
}

/** A thin bar and the count, as `templates/runner/progress.html` has them. */
export function progressBar({ done, total, failed, text }: Progress): HTMLElement {
  const made = said("span", "progress");
  made.toggleAttribute("data-failed", failed > 0);
  const bar = document.createElement("progress");
  bar.setAttribute("value", String(done));
  bar.setAttribute("max", String(total));
  bar.setAttribute("aria-label", "Progress");
  bar.setAttribute("aria-valuetext", text);
  if (total) made.append(bar);
  made.append(said("span", "", text));
  return made;
}

/** A value in a line: text as text, a list of words as chips, the rest in brief or as JSON. */
export function value(of: unknown): Node[] {
  if (typeof of === "string") return [document.createTextNode(of.slice(0, SHOWN))];
  if (areWords(of)) return chips(of);
  if (arePassages(of)) return [document.createTextNode(passages(of))];
  return [document.createTextNode(JSON.stringify(of, null, 1).replace(/\n\s*/g, " ").slice(0, SHOWN))];
}

function areWords(of: unknown): of is string[] {
  return Array.isArray(of) && of.length > 0 && of.every((each) => typeof each === "string" && each.length <= CHIP);
}

function chips(words: string[]): Node[] {
  const made: Node[] = words.slice(0, CHIPS).map((each) => said("span", "badge", each));
  if (words.length > CHIPS) made.push(said("span", "meta", `${words.length - CHIPS} more`));
  return made;
}

interface Passage {
  text: string;
  title?: string;
}

function arePassages(of: unknown): of is Passage[] {
  return Array.isArray(of) && of.length > 0 && of.every((each) => typeof (each as Passage | null)?.text === "string");
}

export function passages(found: Passage[]): string {
  const titles = found.map((each) => each.title || each.text.slice(0, CHIP)).join(" · ");
  return `${found.length} ${found.length === 1 ? "passage" : "passages"}: ${titles}`.slice(0, SHOWN);
}
