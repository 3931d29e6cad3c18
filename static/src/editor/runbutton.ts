/** The top bar's Run, which is Stop while a run of one's own goes on. It follows the panel's <run-live>,
 * whoever put it there; beside what somebody else runs it stays Run. */

import { elapsed } from "../canvas/figures";
import { toast } from "../site/toasts";
import type { EditorNode } from "./types";
import { post } from "./wire";

const TICK = 100;

export class RunButton {
  private readonly run = document.getElementById("run") as HTMLButtonElement | null;
  private readonly stop = document.getElementById("stop") as HTMLButtonElement | null;
  private readonly split = document.getElementById("run-buttons");
  private followed = "";
  private shown = "";
  private since = 0;
  /** It waits for a person: nothing runs whose time could be shown. */
  private rests = false;
  private ticking: ReturnType<typeof setInterval> | undefined;

  /** `ended` is told when a run that the panel followed has ended, or is followed no more. */
  constructor(private readonly ended: () => void) {}

  start(): void {
    const panel = document.getElementById("run-panel");
    if (!panel || !this.stop) return;
    const look = () => this.follow(panel.querySelector<HTMLElement>("run-live[data-run]:not([data-ended])"));
    new MutationObserver(look).observe(panel, {
      childList: true,
      subtree: true,
      attributeFilter: ["data-ended"],
    });
    this.stop.addEventListener("click", () => void this.cancel());
    panel.addEventListener("run-changed", (event) => {
      const { status } = (event as CustomEvent<{ status?: string }>).detail ?? {};
      this.rests = status === "suspended" || status === "waiting";
      if (status === "cancelling") this.stopping();
    });
    look();
  }

  private follow(live: HTMLElement | null): void {
    const followed = live?.dataset.run ?? "";
    if (this.followed && followed !== this.followed) this.ended();
    this.followed = followed;
    this.show(live && !("by" in live.dataset) ? live : null);
  }

  private show(live: HTMLElement | null): void {
    const run = live?.dataset.run ?? "";
    if (run === this.shown) return;
    this.shown = run;
    this.rests = false;
    clearInterval(this.ticking);
    const { stop } = this;
    if (!stop) return;
    const focused = document.activeElement === this.run || document.activeElement === stop;
    stop.hidden = !run;
    if (this.run) this.run.hidden = !!run;
    for (const button of this.split?.querySelectorAll("[popovertarget]") ?? []) {
      button.classList.toggle("stop", !!run);
      button.classList.toggle("primary", !run);
    }
    if (focused) (run ? stop : this.run)?.focus();
    if (!run) return;
    this.word("Stop", false);
    // A page that is opened in the middle of a run is told when it began.
    this.since = Number(live?.dataset.started ?? 0) * 1_000 || Date.now();
    this.tick();
    this.ticking = setInterval(() => this.tick(), TICK);
  }

  private tick(): void {
    const time = this.stop?.querySelector("time");
    if (time) time.textContent = this.rests ? "" : elapsed(Math.max(0, Date.now() - this.since) / 1_000);
  }

  private word(text: string, done: boolean): void {
    const place = this.stop?.querySelector("span");
    if (place) place.textContent = text;
    if (this.stop) this.stop.disabled = done;
  }

  private stopping(): void {
    this.word("Stopping", true);
  }

  private async cancel(): Promise<void> {
    const pattern = this.split?.dataset.cancel;
    if (!pattern || !this.shown) return;
    this.stopping();
    try {
      await post(pattern.replace(/0{8}-[0-]+/, this.shown), {});
    } catch (error) {
      this.word("Stop", false);
      toast((error as Error).message, "failed");
    }
  }
}

/** The first field of the panel that a run needs and that is empty, with what to say about it. */
export function missingInput(nodes: EditorNode[]): HTMLElement | null {
  const asks = nodes.filter((node) => node.kind === "input" && !node.parent);
  for (const { name, required } of asks.flatMap((node) => node.outputs)) {
    const box = document.querySelector<HTMLInputElement>(`#run-form [name="input-${CSS.escape(name)}"]`);
    if (required !== false && box && !box.value.trim()) return box;
  }
  return null;
}

/** Says at the field that it is needed, until something is typed. */
export function sayMissing(box: HTMLElement): void {
  if (box.getAttribute("aria-invalid") !== "true") {
    const said = document.createElement("p");
    said.className = "err";
    said.id = `${box.id}-missing`;
    said.setAttribute("role", "alert");
    said.textContent = "Not run: this input is empty. Fill it in, or give it a default at the input node.";
    box.setAttribute("aria-invalid", "true");
    box.setAttribute("aria-describedby", said.id);
    box.after(said);
    const typed = () => {
      said.remove();
      box.removeAttribute("aria-invalid");
      box.removeAttribute("aria-describedby");
    };
    box.addEventListener("input", typed, { once: true });
  }
  box.focus();
}
