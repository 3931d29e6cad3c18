/** Running a part of the pipeline: from a node on, to it, or it alone, with its inputs as they were or
 * edited; and pinning what a node gives. Asked for by keys, by the canvas' menu of a node, and by the menu beside Run. */

import { toast } from "../site/toasts";
import { openTab } from "./panels";
import type { Canvas, EditorNode } from "./types";

export type Part = "from" | "to" | "only";
/** What is asked in a dialog: the inputs to run a step with, or the outputs to pin. */
type Asks = "edited" | "pin";

/** Pixels between a node and its menu when no pointer says where. */
const BESIDE = 24;

interface Htmx {
  ajax(verb: string, path: string, options: object): Promise<void>;
}

export interface Page {
  canvas: Canvas;
  /** The address of the dialog that edits a node's inputs, with NODE for its id; empty: nothing runs here. */
  inputs: string;
  /** The same of the dialog that pins what a node gives. */
  pin: string;
  nodes(): EditorNode[];
  selected(): string | null;
  rest(): Promise<void> | null;
  rename(node: string): void;
  duplicate(): void;
  remove(): void;
}

export class Parts {
  private readonly menu = document.getElementById("node-menu");
  private chosen: string | null = null;
  private shownPins = "";

  constructor(private readonly page: Page) {}

  start(): void {
    this.page.canvas.addEventListener("contextmenu", (event) => this.ask(event as MouseEvent));
    document.addEventListener("htmx:after:swap", () => this.pins());
    // Whatever starts a run otherwise means all of it. Only a press of a button has a submitter.
    document.addEventListener(
      "submit",
      (event) => {
        if ((event.target as Element).id === "run-form" && event.submitter) setPart("", "");
      },
      true,
    );
    document.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-runs], [data-acts]");
      if (!button || button.getAttribute("aria-disabled") === "true") return;
      const node = button.closest("#node-menu") ? this.chosen : this.page.selected();
      const { runs, acts } = button.dataset;
      if (runs) this.run(runs as Part | Asks, node);
      else if (acts === "rename" && node) this.page.rename(node);
      else if (acts === "duplicate") this.page.duplicate();
      else if (acts === "remove") this.page.remove();
    });
  }

  run(part: Part | Asks, node: string | null = this.page.selected()): void {
    const reason = this.refuses(node);
    if (reason || !node) return toast(reason, "warn");
    if (part === "edited" || part === "pin") return void this.open(part, node);
    const form = document.getElementById("run-form") as HTMLFormElement | null;
    if (!form) return;
    setPart(part, node);
    openTab("run");
    form.requestSubmit();
  }

  /** The panel has the list; the canvas marks its nodes. */
  private pins(): void {
    const nodes = [...document.querySelectorAll<HTMLElement>("#run-pins [data-pin]")];
    const ids = nodes.map((each) => each.dataset.pin ?? "");
    if (ids.join() !== this.shownPins) this.page.canvas.pins(ids);
    this.shownPins = ids.join();
  }

  /** Why no part of the pipeline can be run from this node; empty when it can. */
  private refuses(id: string | null): string {
    if (!this.page.inputs) return "Nothing runs here.";
    const node = this.page.nodes().find((each) => each.id === id);
    if (!node) return "Select a node first: the part is run from it.";
    if (node.parent) {
      const outer = this.page.nodes().find((each) => each.id === node.parent);
      return `${node.title} lies in ${outer?.title ?? node.parent}, which runs as a whole. Choose that.`;
    }
    if (node.kind === "input" || node.kind === "output") return `${node.title} is no step. Choose a step.`;
    return "";
  }

  private async open(dialog: Asks, node: string): Promise<void> {
    try {
      await this.page.rest();
    } catch (error) {
      return toast((error as Error).message, "failed");
    }
    openTab("run");
    const address = dialog === "pin" ? this.page.pin : this.page.inputs;
    const path = address.replace("NODE", encodeURIComponent(node));
    const { htmx } = window as unknown as { htmx: Htmx };
    await htmx.ajax("GET", path, { target: "#dialogs" });
  }

  private ask(event: MouseEvent): void {
    const element = (event.target as Element).closest<HTMLElement>("[data-node]");
    const { menu } = this;
    if (!element || !menu?.childElementCount || event.shiftKey) return; // Shift: the browser's own
    event.preventDefault();
    this.chosen = element.dataset.node ?? null;
    if (this.chosen) this.page.canvas.select([this.chosen]);
    const reason = this.refuses(this.chosen);
    for (const button of menu.querySelectorAll("[data-runs]")) {
      if (reason) button.setAttribute("aria-disabled", "true");
      else button.removeAttribute("aria-disabled");
    }
    const note = document.getElementById("node-menu-note");
    if (note) {
      note.textContent = reason;
      note.hidden = !reason;
    }
    menu.showPopover();
    place(menu, event, element);
    menu.querySelector<HTMLElement>("button:not([aria-disabled])")?.focus();
  }
}

/** At the pointer, or beside the node when a key asked; always within the window. */
function place(menu: HTMLElement, event: MouseEvent, node: Element): void {
  const box = node.getBoundingClientRect();
  const keyed = event.clientX === 0 && event.clientY === 0;
  const x = keyed ? box.left + BESIDE : event.clientX;
  const y = keyed ? box.top + BESIDE : event.clientY;
  const { offsetWidth, offsetHeight, style } = menu;
  style.left = `${Math.max(0, Math.min(x, innerWidth - offsetWidth))}px`;
  style.top = `${Math.max(0, Math.min(y, innerHeight - offsetHeight))}px`;
}

function setPart(mode: string, node: string): void {
  for (const [name, value] of [["part-mode", mode], ["part-node", node]] as const) {
    const field = document.querySelector<HTMLInputElement>(`#run-form [name="${name}"]`);
    if (field) field.value = value;
  }
}

/** Whether the run that is about to start is one of a part: the server says what that lacks. */
export function isPart(): boolean {
  return !!document.querySelector<HTMLInputElement>("#run-form [name=part-mode]")?.value;
}
