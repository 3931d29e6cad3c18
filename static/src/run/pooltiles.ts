/** One pool as a card: how it is, a tile for each worker, what ended. */

import * as figures from "../canvas/figures";
import { glyph } from "../site/toasts";
import { said } from "./looks";
import type { Ended, Pool, Work, Worker } from "./messages";

export interface Look {
  /** The address of a run, with zeros for its id. */
  run: string;
  mayReplace: boolean;
  /** More than one runner tells: each pool says whose it is. */
  several: boolean;
  isOpen: (key: string) => boolean;
}

const POOL: Record<string, [string, string]> = {
  ok: ["ok", "Works"],
  degraded: ["warn", "Degraded"],
  broken: ["failed", "Takes no steps"],
};
const WORKER: Record<string, string> = { idle: "ok", busy: "running", starting: "queued" };
const REASONS: Record<string, string> = {
  segfault: "Segfault",
  out_of_memory: "Out of memory",
  killed: "Killed",
  abort: "Aborted",
  cpu_limit: "CPU time",
  signal: "Signal",
  exit: "Exited",
  heartbeat: "No heartbeat",
  protocol: "Protocol",
  not_ready: "Not ready",
  lost: "Lost",
  recycled: "Recycled",
  stopped: "Stopped",
  released: "Released",
};
/** Steps of one worker that are named; of the others it is said how many. */
const NAMED = 3;
const BAR = 5;
const HIGH = 28;
const SVG = "http://www.w3.org/2000/svg";

const IDLE = "A worker starts with the first step that needs one.";
const DRAINED = "Steps wait until the pool is resumed.";

export function pool(told: Pool, runner: string, look: Look): HTMLElement {
  const section = said("section", "card");
  section.dataset.pool = told.pool;
  const head = said("header", "pool-head");
  const [shape, word] = told.draining ? ["waiting", "Drained"] : (POOL[told.state] ?? ["queued", told.state]);
  const state = said("span", "status");
  state.append(glyph(shape), said("span", "", word));
  const whose = look.several ? ` in ${runner}` : "";
  head.append(said("h2", "", `Pool ${told.pool}${whose}`), state, said("span", "muted small", told.why), spark(told));
  const tiles = said("div", "tiles");
  tiles.append(...told.workers.map((worker) => tile(worker, told, runner, look)));
  if (!told.workers.length) tiles.append(said("p", "muted", told.draining ? DRAINED : IDLE));
  section.append(head, standing(told), tiles);
  if (told.ends.length) section.append(history(told.ends, `${runner}/${told.pool}`, look));
  return section;
}

/** The pool's figures in one line. */
function standing(told: Pool): HTMLElement {
  const busy = told.workers.filter((each) => each.state === "busy").length;
  const steps = told.workers.reduce((sum, each) => sum + each.steps.length, 0);
  const memory = told.workers.reduce((sum, each) => sum + (each.memory ?? 0), 0);
  const count = (value: number): string => value.toLocaleString("en-GB");
  const rows: [string, string][] = [
    ["Busy", `${busy} of ${told.size}`],
    ...(told.threads > 1 ? [["Steps", `${steps} of ${told.size * told.threads}`] as [string, string]] : []),
    ["Queue", told.queued ? `${count(told.queued)} of ${count(told.queue_limit)}` : "Empty"],
    ["Breaker", breaker(told)],
    ["Served", told.calls === 1 ? "1 call" : `${count(told.calls)} calls`],
    ["Lost", count(told.lost)],
    ["Tainted", tainted(told)],
    ["Memory", memory ? `${Math.round(memory / 1e6)} MB` : "None"],
  ];
  if (told.reuse) rows.push(["Sessions", `${count(told.sessions)}, ${told.affinity}`]);
  return pairs("pool-figures", rows);
}

function breaker(told: Pool): string {
  if (told.breaker === "open") return `Open for ${Math.ceil(told.opens_in)} s`;
  if (told.breaker === "half_open") return "Half open";
  return told.failing ? `Closed, ${told.failing} failed` : "Closed";
}

function tainted(told: Pool): string {
  const [last] = told.tainted;
  if (!last) return "None";
  const reason = (REASONS[last.reason] ?? last.reason).toLowerCase();
  return `${told.tainted.length}, last ${reason}, ${Math.ceil(last.left)} s`;
}

function pairs(css: string, rows: [string, string][]): HTMLElement {
  const list = said("dl", css);
  for (const [name, value] of rows) {
    const pair = document.createElement("div");
    pair.append(said("dt", "", name), said("dd", "", value));
    list.append(pair);
  }
  return list;
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

function tile(worker: Worker, told: Pool, runner: string, look: Look): HTMLElement {
  const made = said("div", "tile");
  made.dataset.state = worker.state;
  const state = said("span", "status");
  const shape = worker.answers && !worker.retiring ? (WORKER[worker.state] ?? "cancelled") : "warn";
  state.append(glyph(shape), said("span", "", word(worker, told)));
  made.append(said("strong", "", `Worker ${worker.number}`), state, ...doing(worker, look.run));
  const memory = worker.memory === null ? "not told" : `${Math.round(worker.memory / 1e6)} MB`;
  const rows: [string, string][] = [
    ["pid", String(worker.pid)],
    ["memory", memory],
    ["calls", String(worker.calls)],
    ["up", figures.seconds(worker.age)],
  ];
  if (worker.threads > 1) rows.push(["steps", `${worker.steps.length} of ${worker.threads}`]);
  if (told.reuse) rows.push(["sessions", String(worker.sessions)]);
  made.append(pairs("", rows));
  if (look.mayReplace && !worker.retiring) made.append(replaces(worker, told.pool, runner));
  return made;
}

function replaces(worker: Worker, pool: string, runner: string): HTMLElement {
  const button = said("button", "btn quiet sm", "Replace") as HTMLButtonElement;
  button.type = "button";
  button.title = "Ends after its step; another takes its place";
  button.setAttribute("aria-label", `Replace worker ${worker.number} of ${pool}`);
  const key = `replace/${runner}/${pool}/${worker.number}`;
  Object.assign(button.dataset, { does: "replace", key, pool, runner, worker: String(worker.number) });
  return button;
}

function word(worker: Worker, told: Pool): string {
  if (!worker.answers) return "no answer";
  if (worker.retiring) return worker.steps.length > 1 ? "ends after its steps" : "ends after its step";
  if (worker.state !== "idle") return worker.state;
  if (worker.held) return "kept for its run";
  return told.reuse && worker.calls ? "ready" : "spare";
}

/** What it does, for whom; of other people's runs only that it does something. */
function doing(worker: Worker, runUrl: string): HTMLElement[] {
  if (!worker.steps.length) {
    const kept = worker.run_id ? linked({ run_id: worker.run_id, step: "" }, runUrl) : null;
    return [kept ?? said("p", "doing trunc muted", worker.held ? "A run that is not yours" : "Waits for a step")];
  }
  const own = worker.steps.filter((each) => each.run_id);
  const lines = own.slice(0, NAMED).map((each) => linked(each, runUrl));
  const others = worker.steps.length - own.length;
  const more = own.length - lines.length;
  if (more) lines.push(said("p", "doing trunc muted", more === 1 ? "and one more of yours" : `and ${more} more of yours`));
  if (others) {
    const words = others === 1 ? "A run that is not yours" : `${others} steps of runs that are not yours`;
    lines.push(said("p", "doing trunc muted", words));
  }
  return lines;
}

function linked(work: Work, runUrl: string): HTMLElement {
  const line = said("p", "doing trunc");
  const run = work.run_id.replaceAll("-", "").slice(-6);
  const link = said("a", "", work.step || `Run ${run}`) as HTMLAnchorElement;
  const at = runUrl.replace(/0{8}-[0-]+/, work.run_id);
  link.href = work.step ? `${at}?step=${encodeURIComponent(work.step)}` : at;
  link.dataset.key = link.href;
  line.append(link);
  if (work.step) line.append(said("span", "meta", ` in run ${run}`));
  return line;
}

function history(ends: Ended[], key: string, look: Look): HTMLElement {
  const details = said("details", "ends") as HTMLDetailsElement;
  details.dataset.key = key;
  details.open = look.isOpen(key);
  const table = said("table", "table dense");
  const body = document.createElement("tbody");
  for (const end of ends) {
    const row = document.createElement("tr");
    const state = said("span", "status");
    state.append(glyph(end.lost ? "failed" : "ok"), said("span", "", REASONS[end.reason] ?? end.reason));
    const first = document.createElement("td");
    first.append(state);
    row.append(
      first,
      said("td", "nowrap", `Worker ${end.number}`),
      said("td", "second", end.why),
      said("td", "num", end.calls === 1 ? "1 call" : `${end.calls} calls`),
      said("td", "num", `after ${figures.seconds(end.age)}`),
      said("td", "num muted", new Date(end.at * 1_000).toLocaleTimeString("en-GB")),
    );
    body.append(row);
  }
  table.append(body);
  const summary = said("summary", "", `Last workers that ended (${ends.length})`);
  summary.dataset.key = `${key}/ends`;
  details.append(summary, table);
  return details;
}
