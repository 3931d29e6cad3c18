/** A form's own text box and the editor that stands for it. The box keeps the text: forms, htmx, drafts and
 * scripts read and write it as before, and hear of typing by its `input` and `change` events.
 *
 * A browser takes a tenth of a second to put a megabyte into a text box. So what is typed in a long text goes
 * there when somebody is done; until then, whoever reads the box or sends its form gets it from here. */

/** Characters from which on a text is long. */
const LONG = 50_000;

export class Bridge {
  private readonly native: { get(): string; set(text: string): void };
  private at: string;
  /** The text that is not in the box yet. */
  private ahead: (() => string) | null = null;

  /** `show` is called with a text that came into the box from elsewhere. */
  constructor(
    private readonly box: HTMLTextAreaElement,
    private readonly show: (text: string) => void,
  ) {
    this.native = valueOf(box);
    this.at = this.native.get();
    Object.defineProperty(box, "value", {
      configurable: true,
      get: () => this.text,
      set: (text: string) => {
        this.ahead = null;
        this.native.set(text);
        this.look();
      },
    });
    box.form?.addEventListener("formdata", this.sent);
  }

  get text(): string {
    return this.ahead?.() ?? this.native.get();
  }

  /** The editor's text has changed; `text` is asked for once at most. */
  typed(length: number, text: () => string): void {
    let known: string | undefined;
    this.ahead = () => (known ??= text());
    if (length < LONG) this.settle();
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** Somebody begins to type. */
  entered(): void {
    this.at = this.text;
  }

  /** Somebody is done. */
  left(): void {
    this.settle();
    const { text } = this;
    if (text === this.at) return;
    this.at = text;
    this.box.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** The form has put back what the server drew. */
  reset(): void {
    this.ahead = null;
    this.look();
  }

  /** Shows what is in the box now: its markup was replaced. */
  look(): void {
    this.show(this.text);
  }

  /** The box holds the text by itself. */
  settle(): void {
    const text = this.ahead?.();
    this.ahead = null;
    if (text !== undefined) this.native.set(text);
  }

  release(): void {
    this.settle();
    this.box.form?.removeEventListener("formdata", this.sent);
    Reflect.deleteProperty(this.box, "value");
  }

  private readonly sent = (event: FormDataEvent): void => {
    const { name } = this.box;
    if (this.ahead && event.formData.has(name)) event.formData.set(name, this.ahead());
  };
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
