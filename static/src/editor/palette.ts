/** The palette, and the list that opens where a node is wanted. */

import { toast } from "../site/toasts";
import { joining, type Wanted } from "./adding";
import { icon } from "./icon";
import { offerOf, ranked, type Offer } from "./offers";
import { offeredBy, Saved, versionIn } from "./saved";
import { SavedSection } from "./savedsection";
import { byId, type EditorGraph, type KindView } from "./types";

export const DRAGGED_KIND = "application/x-dspex-kind";

export class Palette {
  private wanted: Wanted | null = null;
  /** What the server has found of saved pipelines for the add list. */
  private found: Offer[] = [];
  /** Somebody has gone down the list: what comes later leaves the mark where it is. */
  private moved = false;
  private readonly dialog = byId<HTMLDialogElement>("add-node");
  private readonly list = byId("kinds");
  private readonly input = this.dialog.querySelector("input") as HTMLInputElement;
  private readonly find = byId<HTMLInputElement>("find-kind");
  private readonly section: SavedSection | null;
  private readonly saved: Saved;

  constructor(
    private readonly kinds: Record<string, KindView>,
    saved: string,
    private readonly add: (kind: KindView, wanted: Wanted | null) => void,
    private readonly graph: () => EditorGraph,
  ) {
    this.saved = new Saved(saved);
    const section = document.getElementById("saved-pipelines") as HTMLDetailsElement | null;
    this.section = section && new SavedSection(section, new Saved(saved), () => this.count());
    this.find.addEventListener("input", () => this.filter());
    this.find.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.choose(this.best(), null);
      if (event.key === "Escape") this.find.blur();
    });
    const palette = document.querySelector(".palette");
    palette?.addEventListener("click", (event) => {
      // A double click asks for one node, too.
      if ((event as MouseEvent).detail < 2) this.choose(keyOf(event), null);
    });
    palette?.addEventListener("dragstart", (event) => {
      const { dataTransfer } = event as DragEvent;
      dataTransfer?.setData(DRAGGED_KIND, keyOf(event) ?? "");
      if (dataTransfer) dataTransfer.effectAllowed = "copy";
    });
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Asks which kind; what is dragged from a port offers only kinds that it can be joined to. */
  ask(wanted: Wanted): void {
    if (this.dialog.open) return;
    this.wanted = wanted;
    this.input.value = "";
    this.found = [];
    this.typed();
    this.dialog.showModal();
  }

  /** Adds a kind, or the version of a saved pipeline, by its key. */
  choose(key: string | undefined, wanted: Wanted | null): void {
    const kind = this.kinds[key ?? ""];
    const version = versionIn(key ?? "");
    if (kind) this.add(kind, wanted);
    else if (version) {
      const refused = (error: Error) => toast(error.message, "failed");
      void this.saved.kind(version).then((made) => this.add(made, wanted), refused);
    }
  }

  private buttons(): HTMLButtonElement[] {
    return [...document.querySelectorAll<HTMLButtonElement>(".palette .kind[data-kind]")];
  }

  private filter(): void {
    const text = this.find.value;
    const offers = Object.values(this.kinds).map(offerOf);
    const named = new Set(ranked(offers, text).map(({ key }) => key));
    for (const section of document.querySelectorAll<HTMLElement>(".palette details[data-kinds]")) {
      const buttons = [...section.querySelectorAll<HTMLButtonElement>(".kind")];
      for (const button of buttons) button.hidden = !named.has(button.dataset.kind ?? "");
      section.hidden = buttons.every((button) => button.hidden);
    }
    this.section?.filter(text);
    this.count();
  }

  /** What the search in the palette means. */
  private best(): string | undefined {
    const shown = this.buttons().filter((button) => !button.hidden && !button.disabled);
    const keys = new Set(shown.map((button) => button.dataset.kind));
    const offers = [...Object.values(this.kinds).map(offerOf), ...(this.section?.offers ?? [])];
    return ranked(offers, this.find.value).find(({ key }) => keys.has(key))?.key;
  }

  private count(): void {
    byId("no-kind").hidden = !this.find.value || this.buttons().some((button) => !button.hidden);
  }

  private typed(): void {
    this.moved = false;
    this.draw();
    void this.saved.find(this.input.value).then((answer) => {
      if (!answer || !this.dialog.open) return;
      this.found = answer.pipelines.map(offeredBy);
      this.draw();
    });
  }

  private draw(): void {
    const marked = this.moved ? this.list.querySelector<HTMLElement>("[aria-selected=true]") : null;
    const key = marked?.dataset.key;
    const near = this.wanted?.near;
    const kinds = this.wanted?.saved ? [] : Object.values(this.kinds).filter((kind) => kind.offered);
    const offers = ranked([...kinds.map(offerOf), ...this.found], this.input.value).filter(
      (offer) => !near || !!joining(this.graph(), near, offer),
    );
    this.list.replaceChildren(...offers.map((offer, at) => this.option(offer, at)));
    if (this.wanted?.saved && !offers.length) this.list.append(remark(this.input.value));
    this.mark(Math.max(0, offers.findIndex((offer) => offer.key === key)));
  }

  private option(offer: Offer, at: number): HTMLElement {
    const option = document.createElement("div");
    option.setAttribute("role", "option");
    option.id = `kind-${at}`;
    option.dataset.key = offer.key;
    option.append(icon(offer.icon), offer.title);
    const what = document.createElement("span");
    what.className = "end meta trunc";
    what.textContent = offer.description;
    option.append(what);
    option.addEventListener("click", () => {
      this.dialog.close();
      this.choose(offer.key, this.wanted);
    });
    return option;
  }

  private pressed(event: KeyboardEvent): void {
    const options = [...this.list.querySelectorAll<HTMLElement>("[role=option]")];
    const at = options.findIndex((option) => option.ariaSelected === "true");
    if (!options.length) return;
    if (event.key === "Enter") options[at]?.click();
    else if (event.key === "ArrowDown") this.mark((at + 1) % options.length);
    else if (event.key === "ArrowUp") this.mark((at - 1 + options.length) % options.length);
    else return;
    if (event.key !== "Enter") this.moved = true;
    event.preventDefault();
  }

  private mark(chosen: number): void {
    for (const [at, option] of [...this.list.querySelectorAll("[role=option]")].entries()) {
      option.setAttribute("aria-selected", String(at === chosen));
      if (at !== chosen) continue;
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    }
  }
}

function remark(typed: string): HTMLElement {
  const remark = document.createElement("p");
  remark.className = "pad muted";
  remark.textContent = typed ? "None has a name like this." : "No other pipeline of this project is published.";
  return remark;
}

function keyOf(event: Event): string | undefined {
  return (event.target as Element).closest<HTMLElement>(".kind")?.dataset.kind;
}
