/** The text of one field of one LM call, as it comes: in pieces, some of them twice. */

/** Characters of the end that are kept: as many as a node of the canvas keeps. */
const TAIL = 4_000;

export class FieldText {
  length = 0;
  tail = "";
  private waiting = "";

  /** False when what comes before this piece is missing. */
  add(offset: number, text: string): boolean {
    if (offset > this.length) return false;
    const fresh = text.slice(this.length - offset);
    this.waiting += fresh;
    this.tail += fresh;
    if (this.tail.length > 2 * TAIL) this.tail = this.tail.slice(-TAIL);
    this.length += fresh.length;
    return true;
  }

  /** What has come since it was last taken. */
  take(): string {
    const fresh = this.waiting;
    this.waiting = "";
    return fresh;
  }
}

/** Tokens a second over the last moments, at four characters a token: what is counted exactly comes
 * with the end of the call. */
export class Rate {
  private readonly pieces: [number, number][] = [];

  constructor(private readonly span = 2) {}

  add(now: number, characters: number): void {
    this.pieces.push([now, characters]);
  }

  at(now: number): number {
    while (this.pieces.length && now - (this.pieces[0]?.[0] ?? 0) > this.span) this.pieces.shift();
    const first = this.pieces[0]?.[0];
    if (first === undefined) return 0;
    const characters = this.pieces.reduce((sum, [, count]) => sum + count, 0);
    return characters / 4 / Math.max(now - first, 0.25);
  }
}
