/** One run, in order and without gaps: by the socket, and by asking while there is none.
 *
 * Events are numbered. What comes twice is dropped by its number; where a number is missing, or a
 * piece of text, the feed asks from the last event it has. */

import { FINAL, type Chunk, type Frame, type RunEvent, type Since, type StreamText } from "./messages";
import { LiveSocket } from "./socket";

const POLL = 1_000;

export interface Reader {
  event(event: RunEvent): void;
  /** False when text before this piece is missing. */
  chunk(chunk: Chunk): boolean;
  stream(stream: StreamText): void;
  connection(word: string): void;
  status(status: string): void;
}

export class RunFeed {
  private seq = 0;
  private asking = false;
  private ended = false;
  private readonly socket: LiveSocket;
  private poll: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly run: string,
    private readonly sinceUrl: string,
    private readonly reader: Reader,
  ) {
    this.socket = new LiveSocket({
      opened: () => this.ask(),
      frame: (frame) => this.frame(frame),
      closed: (over) => this.closed(over),
    });
  }

  stop(): void {
    this.ended = true;
    clearTimeout(this.poll);
    this.socket.stop();
  }

  private ask(): void {
    this.asking = true;
    this.socket.send({ type: "subscribe", run: this.run, after_seq: this.seq });
  }

  private frame(frame: Frame): void {
    if (!("run" in frame) || frame.run !== this.run) return;
    if (frame.type === "events") this.events(frame.events);
    else if (frame.type === "chunks") this.chunks(frame.chunks);
    else if (frame.type === "streams") for (const stream of frame.streams) this.reader.stream(stream);
    else if (frame.type === "caught_up") this.caughtUp(frame.status);
    else if (frame.type === "error") this.over(frame.message);
  }

  private events(events: RunEvent[]): void {
    for (const event of events) {
      if (event.seq <= this.seq) continue;
      if (event.seq > this.seq + 1) {
        if (!this.asking) this.ask();
        return;
      }
      this.seq = event.seq;
      this.reader.event(event);
    }
  }

  private chunks(chunks: Chunk[]): void {
    const whole = chunks.map((chunk) => this.reader.chunk(chunk)).every(Boolean);
    if (!whole && !this.asking) this.ask();
  }

  private caughtUp(status: string): void {
    this.asking = false;
    clearTimeout(this.poll);
    this.poll = undefined;
    this.reader.connection("");
    this.reader.status(status);
    if (FINAL.has(status)) this.stop();
  }

  private closed(over?: string): void {
    if (over) return this.over(over);
    this.asking = false;
    this.reader.connection("Reconnecting");
    this.poll ??= setTimeout(() => void this.polled(), POLL);
  }

  private over(reason: string): void {
    this.reader.connection(reason);
    this.stop();
  }

  private async polled(): Promise<void> {
    const found = await this.since();
    if (this.ended || this.poll === undefined) return; // the socket was quicker
    if (found) {
      for (const stream of found.streams) this.reader.stream(stream);
      this.events(found.events);
      this.reader.status(found.status);
      if (!found.more && FINAL.has(found.status)) return this.over("");
    }
    this.poll = setTimeout(() => void this.polled(), found?.more ? 0 : POLL);
  }

  private async since(): Promise<Since | null> {
    try {
      const answer = await fetch(`${this.sinceUrl}?after=${this.seq}`);
      return answer.ok ? ((await answer.json()) as Since) : null;
    } catch {
      return null; // offline, or the server starts anew
    }
  }
}
