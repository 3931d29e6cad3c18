/** The palette, and the list that opens where a node is wanted. */

import { fits } from "../canvas/ports";
import type { PortRef } from "../canvas/types";
import { sprite } from "../site/toasts";
import { byId, type EditorGraph, type KindView } from "./types";

export interface Wanted {
  x: number;
  y: number;
  parent: string | null;
  near?: PortRef;
}

export const DRAGGED_KIND = "application/x-dspex-kind";

export class Palette {
  private wanted: Wanted | null = null;
  private readonly dialog = byId<HTMLDialogElement>("add-node");
  private readonly list = byId("kinds");
  private readonly input = this.dialog.querySelector("input") as HTMLInputElement;

  constructor(
    private readonly kinds: Record<string, KindView>,
    private readonly add: (kind: KindView, wanted: Wanted | null) => void,
    private readonly graph: () => EditorGraph,
  ) {
    const find = byId<HTMLInputElement>("find-kind");
    find.addEventListener("input", () => this.filter(find.value));
    find.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.buttons().find((button) => !button.hidden)?.click();
      if (event.key === "Escape") find.blur();
    });
    for (const button of this.buttons()) {
      button.addEventListener("click", () => this.choose(button.dataset.kind, null));
      button.addEventListener("dragstart", (event) => {
        event.dataTransfer?.setData(DRAGGED_KIND, button.dataset.kind ?? "");
        if (event.dataTransfer) event.dataTransfer.effectAllowed = "copy";
      });
    }
    this.input.addEventListener("input", () => this.draw());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Asks which kind; what is dragged from a port offers only kinds that it can be joined to. */
  ask(wanted: Wanted): void {
    if (this.dialog.open) return;
    this.wanted = wanted;
    this.input.value = "";
    this.draw();
    this.dialog.showModal();
  }

  choose(name: string | undefined, wanted: Wanted | null): void {
    const kind = this.kinds[name ?? ""];
    if (kind) this.add(kind, wanted);
  }

  private buttons(): HTMLButtonElement[] {
    return [...document.querySelectorAll<HTMLButtonElement>(".palette .kind")];
  }

  private filter(text: string): void {
    let left = 0;
    for (const button of this.buttons()) {
      button.hidden = !matches(this.kinds[button.dataset.kind ?? ""], text);
      if (!button.hidden) left++;
    }
    for (const section of document.querySelectorAll(".palette details")) {
      (section as HTMLElement).hidden = !section.querySelector(".kind:not([hidden])");
    }
    byId("no-kind").hidden = left > 0;
  }

  private draw(): void {
    const near = this.wanted?.near;
    const found = Object.values(this.kinds).filter(
      (kind) => matches(kind, this.input.value) && (!near || !!joining(this.graph(), near, kind)),
    );
    this.list.replaceChildren(...found.map((kind, at) => this.option(kind, at)));
    this.mark(0);
  }

  private option(kind: KindView, at: number): HTMLElement {
    const option = document.createElement("div");
    option.setAttribute("role", "option");
    option.id = `kind-${at}`;
    option.append(icon(kind.icon), kind.kindTitle);
    const what = document.createElement("span");
    what.className = "end meta trunc";
    what.textContent = kind.description;
    option.append(what);
    option.addEventListener("click", () => {
      this.dialog.close();
      this.choose(kind.kind, this.wanted);
    });
    return option;
  }

  private pressed(event: KeyboardEvent): void {
    const options = [...this.list.children] as HTMLElement[];
    const at = options.findIndex((option) => option.ariaSelected === "true");
    if (event.key === "Enter") options[at]?.click();
    else if (event.key === "ArrowDown") this.mark((at + 1) % options.length);
    else if (event.key === "ArrowUp") this.mark((at - 1 + options.length) % options.length);
    else return;
    event.preventDefault();
  }

  private mark(chosen: number): void {
    for (const [at, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", String(at === chosen));
      if (at !== chosen) continue;
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    }
  }
}

/** The port of a new node that an open end fits to, if there is one. */
export function joining(graph: EditorGraph, near: PortRef, kind: KindView): string | null {
  const node = graph.nodes.find((each) => each.id === near.node);
  const isOutput = near.side === "output";
  const port = (isOutput ? node?.outputs : node?.inputs)?.find((each) => each.name === near.port);
  if (!port) return null;
  const ports = isOutput ? kind.inputs : kind.outputs;
  const found = ports.find((each) => {
    return isOutput ? fits(port.type, each.type) : fits(each.type, port.type);
  });
  return found?.name ?? null;
}

function matches(kind: KindView | undefined, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  if (!kind) return false;
  return [kind.kindTitle, kind.kind, kind.description].join(" ").toLowerCase().includes(wanted);
}

function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite()}#i-${name}`);
  svg.append(use);
  return svg;
}
