/** What was: the history beside the canvas, and taking the draft back to it. */

import { toast } from "../site/toasts";
import { htmx } from "./inspector";
import { byId } from "./types";
import { post } from "./wire";

export type PastRef = { version: number } | { revision: number };

type Answer = { status: "applied"; id: string } | { status: "same" } | { status: "refused"; message: string };

/** Takes the draft back; the id of the operation that did it, for undo. Says what came of it else. */
export async function restore(address: string, base: number, wanted: PastRef): Promise<string | null> {
  try {
    const answer = await post<Answer>(address, { id: crypto.randomUUID(), base_revision: base, ...wanted });
    if (answer.status === "applied") return answer.id;
    if (answer.status === "same") toast(`The draft is like ${titleOf(wanted)} already.`);
    else toast(`Not restored. ${answer.message}`, "failed");
  } catch (error) {
    toast((error as Error).message, "failed");
  }
  return null;
}

export function titleOf(wanted: PastRef): string {
  return "version" in wanted ? `v${wanted.version}` : `rev ${wanted.revision}`;
}

/** Which past a Restore button means. */
export function wantedBy(button: HTMLElement): PastRef {
  const { version, revision } = button.dataset;
  return version ? { version: Number(version) } : { revision: Number(revision) };
}

export class HistoryPanel {
  private readonly panel = byId("history-panel");
  private readonly button = byId("history");

  constructor(
    private readonly address: string,
    restores: (wanted: PastRef) => void,
  ) {
    this.button.addEventListener("click", () => this.toggle(!!this.panel.hidden));
    this.panel.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-does]");
      if (button?.dataset.does === "close-history") this.toggle(false);
      else if (button?.dataset.does === "restore") restores(wantedBy(button));
    });
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.toggle(false);
    });
  }

  toggle(open: boolean): void {
    const held = this.panel.contains(document.activeElement);
    this.panel.hidden = !open;
    byId("inspector").hidden = open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.refresh();
    else if (held) this.button.focus();
  }

  /** What is new in it, while somebody looks. */
  refresh(): void {
    if (this.panel.hidden) return;
    void htmx().ajax("GET", this.address, { target: this.panel, swap: "innerHTML" });
  }
}

/** A restore that another page has made is undone here like any other edit. */
const RESTORED = "dspex-restored:";

export function handOver(pipeline: string, id: string, wanted: PastRef): void {
  sessionStorage.setItem(RESTORED + pipeline, JSON.stringify({ id, title: titleOf(wanted) }));
}

export function handedOver(pipeline: string): { id: string; title: string } | null {
  const text = sessionStorage.getItem(RESTORED + pipeline);
  sessionStorage.removeItem(RESTORED + pipeline);
  return text ? (JSON.parse(text) as { id: string; title: string }) : null;
}
