/** A form's own text box and the editor that stands for it. The box keeps the text: forms, htmx, drafts and
 * scripts read and write it as before, and hear of typing by its `input` and `change` events. */

export class Bridge {
  private readonly native: { get(): string; set(text: string): void };
  private at: string;

  /** `show` is called with a text that came into the box from elsewhere. */
  constructor(
    private readonly box: HTMLTextAreaElement,
    private readonly show: (text: string) => void,
  ) {
    this.native = valueOf(box);
    this.at = this.native.get();
    Object.defineProperty(box, "value", {
      configurable: true,
      get: () => this.native.get(),
      set: (text: string) => {
        this.native.set(text);
        this.look();
      },
    });
  }

  get text(): string {
    return this.native.get();
  }

  /** The editor's text has changed. */
  typed(text: string): void {
    this.native.set(text);
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** Somebody begins to type. */
  entered(): void {
    this.at = this.native.get();
  }

  /** Somebody is done. */
  left(): void {
    const text = this.native.get();
    if (text === this.at) return;
    this.at = text;
    this.box.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** Shows what is in the box now: a form was reset, or its markup replaced. */
  look(): void {
    this.show(this.native.get());
  }

  release(): void {
    Reflect.deleteProperty(this.box, "value");
  }
}

/** The browser's own property, which ours hides. */
function valueOf(box: HTMLTextAreaElement): { get(): string; set(text: string): void } {
  let from: object | null = box;
  while ((from = Object.getPrototypeOf(from) as object | null)) {
    const found = Object.getOwnPropertyDescriptor(from, "value");
    if (found?.get && found.set) {
      const { get, set } = found;
      return { get: () => get.call(box) as string, set: (text) => set.call(box, text) };
    }
  }
  throw new TypeError("A text box has a value.");
}

/** The part of two texts in which they differ, as a change of the first. */
export function changeBetween(before: string, after: string): { from: number; to: number; insert: string } {
  const most = Math.min(before.length, after.length);
  let from = 0;
  while (from < most && before[from] === after[from]) from++;
  let end = 0;
  while (end < most - from && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  return { from, to: before.length - end, insert: after.slice(from, after.length - end) };
}
