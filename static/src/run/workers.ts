/** <worker-tiles>: the pools of whoever executes runs, as they tell it every two seconds. */

import { glyph } from "../site/toasts";
import * as figures from "../canvas/figures";
import { said } from "./looks";
import type { Ended, Pool, Worker } from "./messages";
import { LiveSocket } from "./socket";

const LOOKS: Record<string, string> = { idle: "ok", busy: "running", starting: "queued" };
const BAR = 5;
const HIGH = 28;
const SVG = "http://www.w3.org/2000/svg";

export class WorkerTiles extends HTMLElement {
  private socket: LiveSocket | null = null;

  connectedCallback(): void {
    this.socket = new LiveSocket({
      opened: () => this.socket?.send({ type: "subscribe_workers" }),
      frame: (frame) => {
        if (frame.type === "workers") this.show(frame.pools);
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

  private show(pools: Pool[]): void {
    const open = this.querySelector("details")?.open ?? false;
    const focused = document.activeElement;
    const path = this.contains(focused) ? focused?.getAttribute("href") : null;
    this.replaceChildren(...pools.map((told) => pool(told, this.dataset.run ?? "", open)));
    if (path) this.querySelector<HTMLElement>(`[href="${CSS.escape(path)}"]`)?.focus();
  }
}

function pool(told: Pool, runUrl: string, open: boolean): HTMLElement {
  const section = said("section", "card");
  const head = said("header", "pool-head");
  const busy = told.workers.filter((each) => each.state === "busy").length;
  const words = [
    `${busy} of ${told.size} busy`,
    `${told.workers.length} started`,
    told.queued ? `${told.queued} steps wait` : "nothing waits",
    `${told.calls.toLocaleString("en-GB")} calls served`,
    `${told.started - told.workers.length} recycled or lost`,
  ];
  head.append(said("h2", "", `Pool ${told.pool}`), said("span", "muted small", words.join(" · ")), spark(told));
  const tiles = said("div", "tiles");
  tiles.append(...told.workers.map((worker) => tile(worker, runUrl)));
  if (!told.workers.length) tiles.append(said("p", "muted", "A worker starts with the first step that needs one."));
  section.append(head, tiles);
  if (told.ends.length) section.append(history(told.ends, open));
  return section;
}

/** Calls over the last minutes, a bar for each span. */
function spark(told: Pool): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  const most = Math.max(1, ...told.recent);
  const served = told.recent.reduce((sum, each) => sum + each, 0);
  const minutes = Math.round((told.recent.length * told.span) / 60);
  svg.setAttribute("class", "spark calls");
  svg.setAttribute("viewBox", `0 0 ${told.recent.length * (BAR + 1)} ${HIGH}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${served} calls in the last ${minutes} minutes`);
  const title = document.createElementNS(SVG, "title");
  title.textContent = `${served} calls in the last ${minutes} minutes`;
  svg.append(title);
  told.recent.forEach((count, place) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = count ? Math.max(2, (count / most) * (HIGH - 2)) : 1;
    const at = { x: place * (BAR + 1), y: HIGH - height, width: BAR, height };
    for (const [name, value] of Object.entries(at)) bar.setAttribute(name, String(value));
    svg.append(bar);
  });
  return svg;
}

function tile(worker: Worker, runUrl: string): HTMLElement {
  const made = said("div", "tile");
  made.dataset.state = worker.state;
  const state = said("span", "status");
  state.append(glyph(LOOKS[worker.state] ?? "cancelled"), said("span", "", word(worker)));
  made.append(said("strong", "", `Worker ${worker.number}`), state, doing(worker, runUrl));
  const list = document.createElement("dl");
  const memory = worker.memory === null ? "not told" : `${Math.round(worker.memory / 1e6)} MB`;
  const told = { pid: String(worker.pid), memory, calls: String(worker.calls), up: figures.seconds(worker.age) };
  for (const [name, value] of Object.entries(told)) {
    const pair = document.createElement("div");
    pair.append(said("dt", "", name), said("dd", "", value));
    list.append(pair);
  }
  made.append(list);
  return made;
}

function word(worker: Worker): string {
  if (worker.state === "idle") return worker.held ? "kept for its run" : "spare";
  return worker.state;
}

/** What it does, for whom; of other people's runs only that it does something. */
function doing(worker: Worker, runUrl: string): HTMLElement {
  const line = said("p", "doing trunc");
  if (!worker.run_id) {
    line.className += " muted";
    line.textContent = worker.held ? "A run that is not yours" : "Waits for a step";
    return line;
  }
  const link = said("a", "", worker.step || `Run ${worker.run_id.replaceAll("-", "").slice(-6)}`) as HTMLAnchorElement;
  const at = runUrl.replace(/0{8}-[0-]+/, worker.run_id);
  link.href = worker.step ? `${at}?step=${encodeURIComponent(worker.step)}` : at;
  line.append(link);
  if (worker.step) line.append(said("span", "meta", ` in run ${worker.run_id.replaceAll("-", "").slice(-6)}`));
  return line;
}

function history(ends: Ended[], open: boolean): HTMLElement {
  const details = said("details", "ends") as HTMLDetailsElement;
  details.open = open;
  const table = said("table", "table dense");
  const body = document.createElement("tbody");
  for (const end of ends) {
    const row = document.createElement("tr");
    const state = said("span", "status");
    state.append(glyph(end.lost ? "failed" : "ok"), said("span", "", end.lost ? "Lost" : "Recycled"));
    const first = document.createElement("td");
    first.append(state);
    row.append(
      first,
      said("td", "nowrap", `Worker ${end.number}`),
      said("td", "second", end.why),
      said("td", "num", `${end.calls} calls`),
      said("td", "num", `after ${figures.seconds(end.age)}`),
      said("td", "num muted", new Date(end.at * 1_000).toLocaleTimeString("en-GB")),
    );
    body.append(row);
  }
  table.append(body);
  details.append(said("summary", "", `Last workers that ended (${ends.length})`), table);
  return details;
}

if (!customElements.get("worker-tiles")) customElements.define("worker-tiles", WorkerTiles);
