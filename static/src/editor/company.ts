/** The others who have the pipeline open: what they do, who they are, what they have selected. */

import { DraftFeed, type DraftReader } from "./draft";
import { People, showPeople } from "./people";
import { byId, type Canvas } from "./types";

const LOOK_ROUND = 5_000;

export class Company {
  private readonly people: People;
  private feed: DraftFeed | null = null;

  constructor(
    me: number,
    private readonly canvas: Canvas,
    private readonly reader: Pick<DraftReader, "revision" | "operation" | "runs">,
  ) {
    this.people = new People(me);
  }

  join(pipeline: string, project: string): void {
    const shown = (changes: () => void) => {
      changes();
      this.show();
    };
    this.feed = new DraftFeed(pipeline, project, {
      ...this.reader,
      present: (key, person, node) => shown(() => this.people.heard(key, person, node, Date.now())),
      left: (key) => shown(() => this.people.left(key)),
      alone: () => shown(() => this.people.clear()),
    });
    setInterval(() => {
      if (this.people.forget(Date.now())) this.show();
    }, LOOK_ROUND);
  }

  /** Tells the others what is selected here. */
  select(node: string | null): void {
    this.feed?.select(node);
  }

  private show(): void {
    showPeople(byId("people"), this.people.others());
    this.canvas.presence(this.people.marks());
  }
}
