/** The palette's section of saved pipelines: filled when it is opened, or when somebody searches. */

import { icon } from "./icon";
import type { Offer } from "./offers";
import { offeredBy, type Saved } from "./saved";

export class SavedSection {
  offers: Offer[] = [];
  private readonly place: HTMLElement;
  private text = "";
  /** A search opens the section; before that it was as somebody left it. */
  private wasOpen = false;

  constructor(
    private readonly section: HTMLDetailsElement,
    private readonly saved: Saved,
    private readonly drawn: () => void,
  ) {
    this.place = section.querySelector("div") as HTMLElement;
    section.addEventListener("toggle", () => {
      if (section.open && !this.text) void this.fill();
    });
    // Others publish, too: whoever comes back to the tab sees what there is.
    addEventListener("focus", () => {
      if (section.open) void this.fill();
    });
  }

  filter(text: string): void {
    if (text && !this.text) this.wasOpen = this.section.open;
    this.text = text;
    if (text) {
      void this.fill();
      return;
    }
    this.section.hidden = false;
    this.section.open = this.wasOpen;
    if (this.wasOpen) void this.fill();
  }

  private async fill(): Promise<void> {
    const found = await this.saved.find(this.text);
    if (!found) return;
    const offers = (this.offers = found.pipelines.map(offeredBy));
    const note = this.text || offers.length ? "" : "No other pipeline of this project is published.";
    const said = found.more ? "Type a name to find more." : note;
    this.place.replaceChildren(...offers.map(kindButton), ...(said ? [remark(said)] : []));
    this.section.hidden = !!this.text && !offers.length;
    if (this.text) this.section.open = !!offers.length;
    this.drawn();
  }
}

function kindButton({ key, title, description, icon: name }: Offer): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "kind";
  button.draggable = true;
  button.dataset.kind = key;
  button.title = `${title}: ${description}`;
  const drawing = span("kicon");
  drawing.append(icon(name));
  button.append(drawing, span("lbl trunc", title), span("end meta", description.split(" · ")[0]));
  return button;
}

function remark(text: string): HTMLElement {
  const remark = document.createElement("p");
  remark.className = "pad muted";
  remark.textContent = text;
  return remark;
}

function span(css: string, text = ""): HTMLSpanElement {
  const span = document.createElement("span");
  span.className = css;
  span.textContent = text;
  return span;
}
