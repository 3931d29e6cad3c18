/** Edits that the server has not taken yet, kept in this browser: a tab that is closed, a machine that
 * loses its network and a page that is reloaded lose none. Each tab has a place of its own; what a
 * closed tab left behind is taken over by the next one that opens the pipeline. */

import type { Edit, Refused } from "./types";

export interface Kept {
  queue: Edit[];
  refused: { edit: Edit; answer: Refused }[];
}

export class Keeper {
  private constructor(
    private readonly prefix: string,
    private readonly tab: string,
  ) {}

  static async open(prefix: string): Promise<Keeper> {
    let tab = sessionStorage.getItem("dspex-tab") ?? "";
    // A duplicated tab has the name of the one it was made from, which still holds its lock.
    if (!tab || !(await hold(tab))) {
      tab = crypto.randomUUID();
      sessionStorage.setItem("dspex-tab", tab);
      await hold(tab);
    }
    return new Keeper(prefix, tab);
  }

  save(kept: Kept): void {
    const key = this.prefix + this.tab;
    if (!kept.queue.length && !kept.refused.length) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(kept));
  }

  /** What this tab, and tabs that are gone, have kept. */
  async restore(): Promise<Kept> {
    const held = (await navigator.locks.query()).held ?? [];
    const alive = new Set(held.map((lock) => lock.name));
    const all: Kept = { queue: [], refused: [] };
    for (const key of Object.keys(localStorage).filter((key) => key.startsWith(this.prefix))) {
      const tab = key.slice(this.prefix.length);
      if (tab !== this.tab && alive.has(lockName(tab))) continue;
      const kept = read(localStorage.getItem(key));
      all.queue.push(...kept.queue);
      all.refused.push(...kept.refused);
      localStorage.removeItem(key);
    }
    this.save(all);
    return all;
  }
}

function read(text: string | null): Kept {
  try {
    const kept = JSON.parse(text ?? "{}") as Partial<Kept>;
    return { queue: kept.queue ?? [], refused: kept.refused ?? [] };
  } catch {
    return { queue: [], refused: [] };
  }
}

function lockName(tab: string): string {
  return `dspex-tab-${tab}`;
}

/** Holds the tab's lock for as long as the page lives; false if another page has it. */
function hold(tab: string): Promise<boolean> {
  return new Promise((resolve) => {
    void navigator.locks.request(lockName(tab), { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}
