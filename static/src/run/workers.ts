/** <worker-tiles>: the pools of whoever executes runs, as they tell it every two seconds. */

import { glyph } from "../site/toasts";
import * as figures from "../canvas/figures";
import type { Pool, Worker } from "./messages";
import { LiveSocket } from "./socket";

const LOOKS: Record<string, string> = { idle: "ok", busy: "running", starting: "queued" };

export class WorkerTiles extends HTMLElement {
  private socket: LiveSocket | null = null;

  connectedCallback(): void {
    this.socket = new LiveSocket({
      opened: () => this.socket?.send({ type: "subscribe_workers" }),
      frame: (frame) => {
        if (frame.type === "workers") this.replaceChildren(...frame.pools.map(pool));
        if (frame.type === "error") this.replaceChildren(element("p", "err", frame.message));
      },
      closed: (over) => {
        if (over) this.replaceChildren(element("p", "err", over));
      },
    });
  }

  disconnectedCallback(): void {
    this.socket?.stop();
  }
}

function pool(told: Pool): HTMLElement {
  const section = element("section", "card");
  const head = element("header", "");
  const said = `${told.workers.length} of ${told.size} started · ${told.calls} calls · ${told.queued} wait · ${told.lost} lost`;
  head.append(element("h2", "", `Pool ${told.pool}`), element("span", "muted small", said));
  const tiles = element("div", "tiles");
  tiles.append(...told.workers.map(tile));
  if (!told.workers.length) tiles.append(element("p", "muted", "A worker starts with the first step that needs one."));
  section.append(head, tiles);
  return section;
}

function tile(worker: Worker): HTMLElement {
  const made = element("div", "tile");
  const state = element("span", "status");
  state.append(glyph(LOOKS[worker.state] ?? "cancelled"), element("span", "", worker.state));
  made.append(element("strong", "", `Worker ${worker.number}`), state);
  made.append(element("span", "meta", `${worker.calls} calls · up ${figures.seconds(worker.age)}`));
  return made;
}

function element(tag: string, css: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  if (css) made.className = css;
  made.textContent = text;
  return made;
}

if (!customElements.get("worker-tiles")) customElements.define("worker-tiles", WorkerTiles);
