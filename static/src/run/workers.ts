/** <worker-tiles>: the pools of whoever executes runs, as they tell it every two seconds. What they told
 * before the page was opened is in it. */

import { csrfToken } from "../site/requests";
import { toast } from "../site/toasts";
import { said } from "./looks";
import type { Told } from "./messages";
import { pool } from "./pooltiles";
import { LiveSocket } from "./socket";

/** A runner that told nothing for so long has ended. */
const GONE = 10_000;

export class WorkerTiles extends HTMLElement {
  private socket: LiveSocket | null = null;
  private readonly told = new Map<string, { figures: Told; at: number }>();

  connectedCallback(): void {
    const before = document.getElementById(this.dataset.told ?? "")?.textContent;
    for (const figures of JSON.parse(before || "[]") as Told[]) this.hear(figures);
    this.addEventListener("click", (event) => void this.replace(event.target as Element));
    this.socket = new LiveSocket({
      opened: () => this.socket?.send({ type: "subscribe_workers" }),
      frame: (frame) => {
        if (frame.type === "workers") this.hear(frame);
        if (frame.type === "error") this.replaceChildren(said("p", "err", frame.message));
      },
      closed: (over) => {
        if (over) this.replaceChildren(said("p", "err", over));
      },
    });
  }

  disconnectedCallback(): void {
    this.socket?.stop();
  }

  private hear(figures: Told): void {
    const now = Date.now();
    this.told.set(figures.runner, { figures, at: now });
    for (const [runner, { at }] of this.told) if (now - at > GONE) this.told.delete(runner);
    this.show();
  }

  private show(): void {
    const open = new Set([...this.querySelectorAll("details[open]")].map((each) => (each as HTMLElement).dataset.key));
    const focused = document.activeElement;
    const key = this.contains(focused) ? (focused as HTMLElement).dataset.key : undefined;
    const runners = [...this.told.values()].map(({ figures }) => figures);
    const look = {
      run: this.dataset.run ?? "",
      mayReplace: Boolean(this.dataset.order),
      several: runners.length > 1,
      isOpen: (each: string) => open.has(each),
    };
    this.replaceChildren(...runners.flatMap((told) => told.pools.map((each) => pool(each, told.runner, look))));
    if (key) this.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  /** An administrator's button on a worker. */
  private async replace(clicked: Element): Promise<void> {
    const button = clicked.closest<HTMLElement>("[data-does=replace]");
    if (!button) return;
    const { pool: name = "", runner = "", worker = "" } = button.dataset;
    const body = new URLSearchParams({ does: "replace_worker", pool: name, runner, worker });
    const headers = { "X-CSRFToken": csrfToken() };
    const came = await fetch(this.dataset.order ?? "", { method: "POST", body, headers }).catch(() => null);
    if (came?.ok) toast(`Worker ${worker} ends after its step, and another takes its place.`);
    else toast(`Worker ${worker} was not replaced. Reload the page and try again.`, "failed");
  }
}

if (!customElements.get("worker-tiles")) customElements.define("worker-tiles", WorkerTiles);
