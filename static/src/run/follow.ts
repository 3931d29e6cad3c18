/** Keeps a reader who is at the end at the end. One who has scrolled up stays there, and is told how much
 * has come below. */

export interface Scroller {
  scrollTop: number;
  readonly scrollHeight: number;
  readonly clientHeight: number;
}

/** A box that is followed to the end of one thing in it: what stands beside that, and is longer, hides
 * nothing of it. It is never scrolled back. */
export class EndOf implements Scroller {
  constructor(
    private readonly box: Element,
    private readonly thing: Element,
  ) {}

  get scrollTop(): number {
    return this.box.scrollTop;
  }

  set scrollTop(to: number) {
    const end = Math.min(to, this.scrollHeight - this.clientHeight);
    if (end > this.box.scrollTop) this.box.scrollTop = end;
  }

  get scrollHeight(): number {
    const { box, thing } = this;
    return thing.getBoundingClientRect().bottom - box.getBoundingClientRect().top + box.scrollTop;
  }

  get clientHeight(): number {
    return this.box.clientHeight;
  }
}

const NEAR = 24;
const LINE = 20;

export class Follow {
  private follows = true;
  private left = 0;
  private top = 0;

  /** `say` is told how many lines have come below; 0 when there is nothing to say. */
  constructor(
    private readonly scroller: Scroller,
    private readonly say: (lines: number) => void,
  ) {}

  scrolled(): void {
    const { scroller } = this;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    // Text that has come since is no reason to stay behind: only who goes up does.
    const up = scroller.scrollTop < this.top;
    this.top = scroller.scrollTop;
    if (atEnd) {
      this.follows = true;
      this.say(0);
    } else if (up && this.follows) {
      this.follows = false;
      this.left = scroller.scrollHeight;
    }
  }

  grew(): void {
    const { scroller } = this;
    if (this.follows) {
      scroller.scrollTop = scroller.scrollHeight;
      this.top = scroller.scrollTop;
      return;
    }
    this.left = Math.min(this.left, scroller.scrollHeight); // finished text takes less room
    this.say(Math.round((scroller.scrollHeight - this.left) / LINE));
  }

  resume(): void {
    this.follows = true;
    this.say(0);
    this.grew();
  }
}
