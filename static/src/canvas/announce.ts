/** What a screen reader is told of a run: starts and ends of steps and closed fields, never tokens. */

import type { Change } from "./live";
import { STATUS_WORDS } from "./glyphs";
import { seconds } from "./figures";
import type { Status } from "./types";

/** More changes than these at once are counted instead of named. */
const NAMED = 3;
const SILENT = new Set<Status>(["queued"]);

/** The changes of one paint in words; empty when there is nothing to say. */
export function announced(changes: readonly Change[], title: (node: string) => string): string {
  const told = changes.filter(({ step, before }) =>
    step.status === before.status
      ? step.status === "running" && before.field !== null
      : step.status !== null && !SILENT.has(step.status),
  );
  if (told.length <= NAMED) return told.map((change) => sentence(change, title)).join(". ");
  const counts = new Map<string, number>();
  for (const { step } of told) {
    const word = step.status ? STATUS_WORDS[step.status].toLowerCase() : "";
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => `${count} steps ${word}`).join(", ");
}

function sentence({ node, step, before }: Change, title: (node: string) => string): string {
  if (step.status === before.status) return `${title(node)}, ${before.field} written`;
  const word = step.status ? STATUS_WORDS[step.status].toLowerCase() : "";
  const time = step.seconds === null ? "" : `, ${seconds(step.seconds)}`;
  return `${title(node)} ${word}${time}`;
}
