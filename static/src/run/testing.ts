/** As much of a document as the lines of a run need, for tests in Node. */

class FakeElement {
  className = "";
  title = "";
  hidden = false;
  tabIndex = -1;
  dataset: Record<string, string> = {};
  childNodes: (FakeElement | string)[] = [];
  private parent: FakeElement | null = null;
  private readonly attributes = new Map<string, string>();

  constructor(readonly tagName: string) {}

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

export function fakeDocument(): void {
  const document = {
    createElement: (name: string) => new FakeElement(name),
    createElementNS: (_: string, name: string) => new FakeElement(name),
    createTextNode: (text: string) => text,
    querySelector: () => null,
  };
  Object.assign(globalThis, { document });
}
