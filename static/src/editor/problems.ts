/** What is wrong with the pipeline: each line selects its node. */

import { glyph } from "../site/toasts";
import { byId, type Problem } from "./types";

const SHOWN = 200;

export function showProblems(problems: Problem[], select: (problem: Problem) => void): void {
  const badge = byId("problem-count");
  badge.textContent = String(problems.length);
  badge.hidden = !problems.length;
  const place = byId("problems");
  if (!problems.length) {
    const empty = document.createElement("p");
    empty.className = "pad muted";
    empty.textContent = "Nothing is wrong. The pipeline can run.";
    place.replaceChildren(empty);
    return;
  }
  const list = document.createElement("ul");
  list.className = "log problems";
  for (const problem of problems.slice(0, SHOWN)) list.append(line(problem, select));
  place.replaceChildren(list);
}

function line(problem: Problem, select: (problem: Problem) => void): HTMLElement {
  const item = document.createElement("li");
  const text = document.createElement("span");
  if (problem.node) {
    const button = document.createElement("button");
    button.type = "button";
    const where = problem.field ?? problem.port;
    button.textContent = [problem.title ?? problem.node, where].filter(Boolean).join(", ");
    button.addEventListener("click", () => select(problem));
    text.append(button, document.createElement("br"));
  }
  text.append(problem.message);
  item.append(glyph("warn"), text);
  return item;
}
