/** Keeps a reader who is at the end at the end. One who has scrolled up stays there, and is told how much
 * has come below. */

export interface Scroller {
  scrollTop: number;
  readonly scrollHeight: number;
  readonly clientHeight: number;
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
