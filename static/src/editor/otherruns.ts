/** Runs of the pipeline that were begun elsewhere: by others, or in another tab. The panel follows such a run
 * as long as it shows nothing that the person began or still looks at; else a line says that it goes on, and
 * lets them watch it. Nothing else of the page changes by it: neither tab nor fold, nor what is typed. */

import { said } from "../run/looks";
import { glyph } from "../site/toasts";
import { get, text } from "./wire";

export interface GoingRun {
  run: string;
  /** Who runs it. */
  by: string;
  mine: boolean;
  /** Just now: it was too quick to be seen while it went on. */
  ended: boolean;
}

/** The run in the panel. */
export interface ShownRun {
  run: string;
  mine: boolean;
  ended: boolean;
}

/** Which of these runs the panel is to follow now, and which are only told of. */
export function choose(shown: ShownRun | null, going: GoingRun[]): { follow: GoingRun | null; tell: GoingRun[] } {
  const others = going.filter(({ run }) => run !== shown?.run);
  // One's own result is taken away by a newer one of one's own alone: a reload would show that too.
  const free = (each: GoingRun) => !shown || (shown.ended && (each.mine || !shown.mine));
  // Ids of runs are in the order of their beginnings.
  const fresh = ({ run, ended }: GoingRun) => !ended || !shown || run > shown.run;
  const follow = others.find((each) => free(each) && fresh(each)) ?? null;
  return { follow, tell: others.filter((each) => each !== follow && !each.ended) };
}

/** `Ada Lovelace runs this`; the first is the one that can be watched. */
export function sentence(runs: GoingRun[]): string {
  const [first, ...rest] = runs;
  if (!first) return "";
  const others = new Set(rest.map(({ by, mine }) => (mine ? "" : by)));
  others.delete(first.mine ? "" : first.by);
  if (!others.size) return first.mine ? "You run this in another tab" : `${first.by} runs this`;
  const who = first.mine ? "You" : first.by;
  return `${who} and ${others.size} ${others.size === 1 ? "other" : "others"} run this`;
}

/** Milliseconds until a run that was told of is looked for: by then the page that began it shows it. */
const SOON = 400;
interface Htmx {
  process(element: Element): void;
}

export class OtherRuns {
  private readonly note = document.getElementById("also-runs");
  private timer: ReturnType<typeof setTimeout> | undefined;
  private going: GoingRun[] = [];

  /** `address` lists the runs that go on; with a run's id behind it, it follows that. */
  constructor(private readonly address: string) {}

  start(): void {
    // What comes into the panel, or ends there, changes what is to be told.
    const panel = document.getElementById("run-panel");
    if (!panel) return;
    const options = { childList: true, subtree: true, attributeFilter: ["data-ended"] };
    let before = "";
    new MutationObserver(() => {
      const now = JSON.stringify(shownRun());
      if (now !== before) this.lookSoon();
      before = now;
    }).observe(panel, options);
  }

  lookSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.look();
    }, SOON);
  }

  private async look(): Promise<void> {
    const found = await get<{ runs: GoingRun[] }>(this.address).catch(() => null);
    if (!found || !place()) return; // the panel comes yet, and is looked at then
    this.going = found.runs;
    const { follow } = choose(shownRun(), this.going);
    if (follow) await this.follow(follow);
    this.tell();
  }

  private async follow(wanted: GoingRun, asked = false): Promise<void> {
    const piece = await text(`${this.address}${wanted.run}/`).catch(() => null);
    const into = place();
    // Meanwhile the person may have begun a run here.
    if (piece === null || !into || !(asked || choose(shownRun(), [wanted]).follow)) return;
    into.innerHTML = piece;
    (window as unknown as { htmx: Htmx }).htmx.process(into);
  }

  private tell(): void {
    const { note } = this;
    if (!note) return;
    const { tell } = choose(shownRun(), this.going);
    const says = sentence(tell);
    note.hidden = !says;
    if (note.dataset.says === says + tell[0]?.run) return;
    note.dataset.says = says + tell[0]?.run;
    const watch = said("button", "btn quiet sm", "Watch") as HTMLButtonElement;
    watch.type = "button";
    watch.addEventListener("click", () => {
      const [first] = tell;
      if (!first) return;
      document.getElementById("tab-run")?.click();
      void this.follow(first, true).then(() => this.tell());
    });
    note.replaceChildren(glyph("running"), said("span", "", says), watch);
  }
}

function place(): HTMLElement | null {
  return document.getElementById("run-now");
}

function shownRun(): ShownRun | null {
  const live = document.querySelector<HTMLElement>("#run-now > run-live[data-run]");
  if (!live) return null;
  const { run = "", by, ended } = live.dataset;
  return { run, mine: by === undefined, ended: ended !== undefined };
}
