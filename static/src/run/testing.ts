/** As much of a document as the lines of a run need, for tests in Node. */

export class FakeElement {
  className = "";
  title = "";
  hidden = false;
  tabIndex = -1;
  dataset: Record<string, string> = {};
  childNodes: (FakeElement | string)[] = [];
  private parent: FakeElement | null = null;
  private readonly attributes = new Map<string, string>();

  constructor(readonly tagName = "") {}

  get textContent(): string {
    return this.childNodes.map((each) => (typeof each === "string" ? each : each.textContent)).join("");
  }
  set textContent(text: string) {
    this.childNodes = text ? [text] : [];
  }
  get children(): FakeElement[] {
    return this.childNodes.filter((each) => typeof each !== "string");
  }
  get firstChild(): { remove(): void } | null {
    return this.childNodes.length ? { remove: () => this.childNodes.shift() } : null;
  }
  append(...nodes: (FakeElement | string)[]): void {
    for (const node of nodes) {
      if (typeof node !== "string") node.parent = this;
      this.childNodes.push(node);
    }
  }
  insertBefore(node: FakeElement, next: FakeElement | null): void {
    node.parent = this;
    this.childNodes.splice(next ? this.childNodes.indexOf(next) : this.childNodes.length, 0, node);
  }
  after(): void {}
  closest(): null {
    return null;
  }
  querySelector(): null {
    return null;
  }
  addEventListener(): void {}
  dispatchEvent(): void {}
  checkVisibility(): boolean {
    return false;
  }
  replaceChildren(...nodes: (FakeElement | string)[]): void {
    this.childNodes = [];
    this.append(...nodes);
  }
  remove(): void {
    const { parent } = this;
    if (parent) parent.childNodes = parent.childNodes.filter((each) => each !== this);
  }
  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }
  getAttribute(name: string): string | null {
    return this.attributes.get(name) ?? null;
  }
  hasAttribute(name: string): boolean {
    return this.attributes.has(name);
  }
  toggleAttribute(name: string, is: boolean): void {
    if (is) this.attributes.set(name, "");
    else this.attributes.delete(name);
  }
}

export function fakeDocument(found: Record<string, unknown> = {}): void {
  const document = {
    createElement: (name: string) => new FakeElement(name),
    createElementNS: (_: string, name: string) => new FakeElement(name),
    createTextNode: (text: string) => text,
    getElementById: (id: string) => found[id] ?? null,
    querySelector: (selector: string) => found[selector] ?? null,
    querySelectorAll: () => [],
  };
  Object.assign(globalThis, { document });
}
