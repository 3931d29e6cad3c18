/** The live socket: sends marks back, and comes back by itself when it is dropped. */

import type { Frame } from "./messages";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
/** Close codes after which there is nothing to come back to: signed out, and no access. */
const OVER: Record<number, string> = { 4401: "You are signed out", 4403: "You may not see this any more" };

export interface Listener {
  opened(): void;
  frame(frame: Frame): void;
  /** `over` says why it does not come back. */
  closed(over?: string): void;
}

export class LiveSocket {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wait = FIRST_WAIT;
  private stopped = false;

  constructor(private readonly listener: Listener) {
    this.connect();
  }

  send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private connect(): void {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/live/`);
    this.socket = socket;
    socket.onmessage = ({ data }) => this.received(JSON.parse(data as string) as Frame);
    socket.onclose = ({ code }) => this.dropped(code);
  }

  private received(frame: Frame): void {
    if (this.stopped) return;
    if (frame.type === "mark") return this.send({ type: "mark", n: frame.n });
    if (frame.type === "hello") {
      this.wait = FIRST_WAIT;
      return this.listener.opened();
    }
    this.listener.frame(frame);
  }

  private dropped(code: number): void {
    if (this.stopped) return;
    const over = OVER[code];
    this.listener.closed(over);
    if (over) return;
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }
}
