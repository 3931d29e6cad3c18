/** An edit that the server refused: who is in the way, both values, and the ways out. The person's own
 * value is kept until they choose one. */

import { glyph } from "../site/toasts";
import type { Conflict, Edit, Refused } from "./types";

export interface Choices {
  useMine(): void;
  useTheirs(): void;
  keepCopy(): void;
}

export function showRefusal(
  place: HTMLElement,
  edit: Edit,
  answer: Refused,
  titleOf: (node: string) => string,
  choices: Choices,
  me: number,
): void {
  const banner = element("div", "banner");
  banner.dataset.st = "warn";
  banner.dataset.edit = edit.id;
  banner.setAttribute("role", "alert");
  const text = element("p");
  const [head, rest] = sentences(answer, titleOf, edit.base, me);
  text.append(element("strong", "", head), ` ${rest} Your copy is kept.`);
  const ways = element("span", "row end");
  banner.append(glyph("warn"), text, ways);
  const close = (does: () => void) => () => {
    banner.remove();
    does();
  };
  const both = element("div", "both");
  both.hidden = true;
  for (const conflict of answer.conflicts) both.append(...values(conflict, titleOf));
  if (answer.conflicts.length) ways.append(button("See both", () => (both.hidden = !both.hidden)));
  if (edit.operation) {
    ways.append(button("Keep mine as a copy", choices.keepCopy));
    if (answer.code === "conflict") ways.append(button("Use mine", close(choices.useMine)));
  }
  const theirs = answer.code === "conflict" ? `Use rev ${answer.revision}` : "Let it go";
  ways.append(button(theirs, close(choices.useTheirs), "btn sm primary"));
  banner.append(both);
  place.append(banner);
}

/** Shown when the copy has been made. */
export function dropRefusal(place: HTMLElement, id: string): void {
  place.querySelector(`[data-edit="${CSS.escape(id)}"]`)?.remove();
}

export function sentences(
  answer: Refused,
  titleOf: (node: string) => string,
  base: number,
  me: number,
): [string, string] {
  const [first] = answer.conflicts;
  if (!first) return ["An edit was not saved.", answer.message];
  const places = [...new Set(answer.conflicts.map((conflict) => placeOf(conflict.key, titleOf)))];
  const shown = places.slice(0, 3).join("; ") + (places.length > 3 ? " and more" : "");
  const who = first.author_id === me ? "You, in another tab," : first.author;
  return [
    `${who} saved rev ${first.revision} while you edited rev ${base}.`,
    `Both changed ${shown}.`,
  ];
}

/** The key of a footprint, as people say it. */
function placeOf(key: string, titleOf: (node: string) => string): string {
  const [area, node, part, field] = key.split("/");
  if (area === "p") return node === "name" ? "the name" : "the description";
  const title = titleOf(node ?? "");
  if (part === "in") return `${title}, input ${field}`;
  return part ? `${title}, ${(field ?? part).replaceAll("_", " ")}` : title;
}

function values(conflict: Conflict, titleOf: (node: string) => string): HTMLElement[] {
  const place = placeOf(conflict.key, titleOf);
  return [
    side(`Yours: ${place}`, conflict.yours),
    side(`${conflict.author}'s: ${place}`, conflict.theirs),
  ];
}

function side(title: string, value: unknown): HTMLElement {
  const box = element("div");
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const shown = value === null ? "Nothing" : text;
  box.append(element("p", "meta", title), element("pre", "codebox", shown));
  return box;
}

function element(tag: string, css = "", text = ""): HTMLElement {
  const made = document.createElement(tag);
  if (css) made.className = css;
  if (text) made.textContent = text;
  return made;
}

function button(label: string, does: () => void, css = "btn sm"): HTMLElement {
  const made = element("button", css, label) as HTMLButtonElement;
  made.type = "button";
  made.addEventListener("click", does);
  return made;
}
