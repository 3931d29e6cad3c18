/** The run's page: which step is shown beside the timeline, and which containers are open. Both stay as
 * they are when the server draws the lanes anew. */

import { FINAL } from "./messages";

interface Htmx {
  process(element: Element): void;
}

let shown = "";
const open = new Set<string>();

export function steps(): void {
  const aside = document.querySelector<HTMLElement>("aside.det");
  if (!aside) return;
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    if (target.closest("[data-does=close-step]")) return close(aside);
    const fold = target.closest<HTMLElement>("[data-does=fold-group]");
    if (fold) return toggle(fold.dataset.group ?? "");
    const chosen = target.closest("a")?.closest<HTMLElement>("[data-path]");
    if (chosen) choose(aside, chosen.dataset.path ?? "");
  });
  document.addEventListener("htmx:after:swap", () => {
    shown = aside.querySelector<HTMLElement>("[data-shows]")?.dataset.shows ?? shown;
    mark();
  });
  document.addEventListener("run-changed", (event) => {
    const { status } = (event as CustomEvent<{ status: string }>).detail;
    if ((FINAL.has(status) || status === "waiting") && !shown) void first(aside);
  });
  shown = aside.querySelector<HTMLElement>("[data-shows]")?.dataset.shows ?? "";
  mark();
}

function choose(aside: HTMLElement, path: string): void {
  shown = path;
  aside.dataset.chosen = "";
  const address = new URL(location.href);
  address.searchParams.set("step", path);
  history.replaceState(history.state, "", address);
  mark();
}

function close(aside: HTMLElement): void {
  shown = "";
  delete aside.dataset.chosen;
  document.getElementById("step")?.replaceChildren();
  const address = new URL(location.href);
  address.searchParams.delete("step");
  history.replaceState(history.state, "", address);
  mark();
}

/** The run has ended and nobody has chosen a step: the one to look at first. */
async function first(aside: HTMLElement): Promise<void> {
  const step = document.getElementById("step");
  const answer = await fetch(aside.dataset.stepUrl ?? "").catch(() => null);
  if (!answer?.ok || !step || shown) return;
  step.innerHTML = await answer.text();
  (window as unknown as { htmx: Htmx }).htmx.process(step); // what asks, stops and runs again
  shown = step.querySelector<HTMLElement>("[data-shows]")?.dataset.shows ?? "";
  mark();
}

function toggle(group: string): void {
  if (!open.delete(group)) open.add(group);
  mark();
}

function mark(): void {
  for (const each of document.querySelectorAll<HTMLElement>(".lane[data-path], .mn[data-path]")) {
    if (each.dataset.path === shown) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  for (const button of document.querySelectorAll<HTMLElement>("[data-does=fold-group]")) {
    button.setAttribute("aria-expanded", String(open.has(button.dataset.group ?? "")));
  }
  for (const held of document.querySelectorAll<HTMLElement>("[data-holds]")) {
    held.hidden = !open.has(held.dataset.holds ?? "");
  }
}
