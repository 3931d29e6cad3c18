/** What is about the pipeline as it is on the page (a run, publishing) waits until the server has it all. */

import { toast } from "../site/toasts";

export interface Saving {
  /** Sends what is still being typed; null when the server has everything. */
  rest(): Promise<void> | null;
  /** Says why this can't go out now, where that is to be mended. */
  stops(source: HTMLElement): boolean;
}

export function afterSaving(saving: Saving): void {
  // Before htmx hears of it: it would take the form's values and send them.
  for (const name of ["submit", "click"] as const) {
    document.addEventListener(name, (event) => hold(event, name, saving), true);
  }
}

const WAITS = { submit: "#run-form", click: "[data-after-saving]" };

function hold(event: Event, name: "submit" | "click", saving: Saving): void {
  const source = (event.target as Element).closest<HTMLElement>(WAITS[name]);
  if (!source) return;
  const drop = () => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  if (saving.stops(source)) return drop();
  const rest = saving.rest();
  if (!rest) return;
  drop();
  // By then nothing is left to wait for, unless somebody goes on typing: then it waits again.
  const again = () => (source instanceof HTMLFormElement ? source.requestSubmit() : source.click());
  rest.then(again, (error: Error) => toast(error.message, "failed"));
}
