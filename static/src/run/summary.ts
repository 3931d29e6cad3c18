/** What the panel says of a run beside its steps' lines: the tab line, the results, the tabs of steps and
 * events. Places that the page does not have are passed over. */

import * as figures from "../canvas/figures";
import { glyph } from "../site/toasts";
import { GLYPHS, said, state, value, word } from "./looks";
import type { RunEvent } from "./messages";
import type { Row } from "./row";

/** Events that are listed; all of them are on the run's page. */
const EVENTS = 300;
/** Characters from which a result is folded. */
const LONG = 480;

/** What the page knows of a pipeline before it runs. */
export interface Outline {
  titles: Record<string, string>;
  /** Ids of nodes as they are read. */
  order: string[];
  /** Ids of the nodes of the top level that run. */
  steps: string[];
  /** Ids of the nodes that take part, where not all do. */
  part?: string[] | null;
  outputs: { name: string; title: string; after: string }[];
}

export class Summary {
  private readonly events = place("run-events");
  private readonly steps = place("run-steps");
  private told = "";
  private tokens = 0;
  private cost = 0;
  private startedAt = 0;
  private readonly ended = new Set<string>();

  constructor(
    private readonly outline: Outline,
    private readonly url: string,
    private readonly name: string,
  ) {
    this.events?.replaceChildren();
    this.steps?.replaceChildren();
    number("run-steps-count", "");
    number("run-events-count", "");
  }

  /** Who runs, how far, what it has cost: beside the tabs. */
  status(status: string): void {
    const line = document.getElementById("run-status");
    const told = [this.url, status, this.tokens, this.cost].join();
    if (!line || told === this.told) return;
    this.told = told;
    const link = said("a", "", `Run ${this.name}`) as HTMLAnchorElement;
    link.href = this.url;
    const spent = [figures.tokens(this.tokens), this.cost ? figures.cost(this.cost) : ""];
    const figure = said("span", "muted", spent.filter(Boolean).join(" · "));
    line.className = "status small";
    line.replaceChildren(glyph(GLYPHS[status] ?? "queued"), said("span", "", word(status)), link);
    if (this.tokens) line.append(figure);
  }

  take(event: RunEvent, title: string): void {
    if (event.type === "run_started") this.startedAt = event.at;
    if (event.type === "lm_call") {
      const usage = (event.data.usage ?? {}) as Record<string, number>;
      this.tokens += (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
      this.cost += usage.cost ?? 0;
    }
    if (/^step_(succeeded|failed|cancelled|skipped)$/.test(event.type) && this.outline.steps.includes(event.step)) {
      this.ended.add(event.step);
    }
    if (this.outline.steps.length) {
      number("run-steps-count", `${this.ended.size} of ${this.outline.steps.length}`);
    }
    number("run-events-count", String(event.seq));
    if (this.events && this.events.childElementCount < EVENTS) this.events.append(this.line(event, title));
  }

  /** The tab of steps, in the order of the graph; those that have not begun too. */
  list(rows: Map<string, Row>): void {
    if (!this.steps || this.steps.closest("[hidden]")) return;
    const begun = [...rows].sort(([, one], [, other]) => one.rank - other.rank);
    const paths = new Set(begun.map(([path]) => path));
    const lines = begun.map(([path, row]) => this.step(path, row.title, row.status, row.backend, row.figures, row.progress));
    for (const id of this.outline.steps) {
      if (!paths.has(id)) lines.push(this.step(id, this.outline.titles[id] ?? id, "queued", "", ""));
    }
    this.steps.replaceChildren(...lines);
  }

  private step(path: string, title: string, status: string, backend: string, time: string, progress = ""): HTMLElement {
    const line = said("li", "run-line");
    const mark = said("span", "state");
    mark.append(...state(status));
    const link = said("a", "of trunc", title) as HTMLAnchorElement;
    link.href = `${this.url}?step=${encodeURIComponent(path)}`;
    const badge = said("span", backend ? "be" : "", backend);
    badge.dataset.be = backend;
    line.append(mark, link, badge, said("span", "text muted", progress ? `${word(status)} · ${progress}` : word(status)), said("span", "figure", time));
    return line;
  }

  private line(event: RunEvent, title: string): HTMLElement {
    const line = said("li", "run-line");
    const failure = event.data.failure as { message?: string } | null | undefined;
    const { reason, cause, question, status, model } = event.data;
    const told = failure?.message ?? reason ?? cause ?? question ?? status ?? model ?? "";
    const at = this.startedAt ? figures.seconds(Math.max(0, event.at - this.startedAt)) : "";
    line.append(
      said("span", "figure", at),
      said("span", "of trunc", title),
      said("span", "", word(event.type.replaceAll("_", " ")).replace(/^Lm /, "LM ")),
      said("span", "text muted trunc", String(told)),
    );
    return line;
  }
}

/** The pipeline's results: they wait below the steps' lines until there is something. */
export class Results {
  readonly list = said("ol", "run-results");
  private readonly texts = new Map<string, HTMLElement>();

  constructor(outline: Outline) {
    for (const { name, title, after } of outline.outputs) {
      const line = said("li", "run-line");
      const mark = said("span", "state");
      mark.append(...state("queued"));
      const text = said("div", "text muted", after ? `Waits for ${after}` : "");
      line.append(mark, said("span", "of trunc", title), said("code", "", name), text, said("span", "figure"));
      this.texts.set(name, text);
      this.list.append(line);
    }
  }

  ended(status: string, outputs: Record<string, unknown>): void {
    for (const [name, text] of this.texts) {
      const line = text.parentElement;
      const there = name in outputs;
      line?.querySelector(".state")?.replaceChildren(...state(there ? "succeeded" : "skipped"));
      line?.toggleAttribute("data-there", there);
      if (!there) text.textContent = status === "cancelled" ? "Stopped before it" : "Not reached";
      else this.show(text, outputs[name]);
    }
  }

  private show(text: HTMLElement, of: unknown): void {
    text.classList.remove("muted");
    if (of === null) text.replaceChildren("Too large for here: it is on the run's page");
    else text.replaceChildren(...value(of));
    if ((text.textContent?.length ?? 0) <= LONG) return;
    text.classList.add("folded");
    const more = said("button", "btn quiet sm", "Show all");
    more.addEventListener("click", () => {
      more.textContent = text.classList.toggle("folded") ? "Show all" : "Show less";
    });
    text.after(more);
    text.parentElement?.setAttribute("data-long", "");
  }
}

function place(id: string): HTMLElement | null {
  return document.getElementById(id);
}

function number(id: string, text: string): void {
  const found = place(id);
  if (found && found.textContent !== text) found.textContent = text;
}
