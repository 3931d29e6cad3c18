/** The draft, live: what others do to it as it happens, and who they are. Without a socket it is asked
 * for now and then. */

import { LiveSocket } from "../run/socket";
import type { Operation } from "./types";

/** What the socket tells about a draft: see docs/reference/live.md. */
export type DraftFrame =
  | { type: "draft"; pipeline: string; revision: number }
  | { type: "operation"; pipeline: string; revision: number; id: string; author: number | null; operation: Operation | null }
  | { type: "presence"; pipeline: string; key: string; person: Person; node: string | null }
  | { type: "left"; pipeline: string; key: string }
  | { type: "run"; pipeline: string; id: string; status: string };

export interface Person {
  id: number;
  name: string;
}

export interface DraftReader {
  /** The draft is at this revision; null: nobody knows, so ask. */
  revision(revision: number | null): void;
  operation(frame: DraftFrame & { type: "operation" }): void;
  present(key: string, person: Person, node: string | null): void;
  left(key: string): void;
  /** Another run of the pipeline goes on than before, or that may be so. */
  runs(): void;
  /** The socket is gone, and with it all that is known of others. */
  alone(): void;
}

const POLL = 5_000;
const SELECT_EVERY = 300;

export class DraftFeed {
  private readonly socket: LiveSocket;
  private polling: ReturnType<typeof setInterval> | undefined;
  private node: string | null = null;
  private told: string | null = null;
  private telling: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly pipeline: string,
    private readonly project: string,
    private readonly reader: DraftReader,
  ) {
    this.socket = new LiveSocket({
      opened: () => this.opened(),
      frame: (frame) => this.frame(frame as unknown as DraftFrame),
      closed: () => this.closed(),
    });
    // A page that goes away takes its socket along at once; one that is kept asleep would stay.
    addEventListener("pagehide", () => this.socket.stop(), { once: true });
  }

  /** Tells the others which node is selected here. */
  select(node: string | null): void {
    this.node = node;
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      this.tell();
    }, SELECT_EVERY);
  }

  private tell(): void {
    if (this.node === this.told) return;
    this.told = this.node;
    this.socket.send({ type: "here", pipeline: this.pipeline, node: this.node });
  }

  private opened(): void {
    clearInterval(this.polling);
    this.polling = undefined;
    this.told = null;
    this.socket.send({ type: "subscribe_draft", pipeline: this.pipeline });
    this.socket.send({ type: "subscribe_project", project: this.project });
    this.tell();
    this.reader.runs();
  }

  private closed(): void {
    this.reader.alone();
    this.polling ??= setInterval(() => {
      if (document.visibilityState !== "visible") return;
      this.reader.revision(null);
      this.reader.runs();
    }, POLL);
  }

  private frame(frame: DraftFrame): void {
    if (frame.pipeline !== this.pipeline) return;
    if (frame.type === "draft") this.reader.revision(frame.revision);
    else if (frame.type === "operation") this.reader.operation(frame);
    else if (frame.type === "presence") this.reader.present(frame.key, frame.person, frame.node);
    else if (frame.type === "run") this.reader.runs();
    else if (frame.type === "left") this.reader.left(frame.key);
  }
}
