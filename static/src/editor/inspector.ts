/** The inspector: the server draws the form and checks what is typed; what is valid goes out as an
 * operation, what is not stays in its box. */

import { byId, type Json, type Operation } from "./types";
import { Denied, text, Unreachable } from "./wire";

interface Htmx {
  ajax(verb: string, path: string, options: object): Promise<void>;
  process(element: Element): void;
}

export interface Addresses {
  whole: string;
  node: string;
  check: string;
}

// The panels of a node's form.
const CONFIGURE = "node-config";
const LAST = "node-last";
const CHECK_AFTER = 120;
const SAVE_AFTER = 500;

type Part = "config" | "policy";
type Values = Record<string, Json>;

/** `inside`: the field of the config that the value is in, under `name`; else the value is the field. */
interface Field {
  element: HTMLElement;
  part: Part;
  inside?: string;
  name: string;
  widget: string;
}

export class Inspector {
  private shown: string | null | undefined;
  private turn = 0;
  private tab = CONFIGURE;
  private loading: Promise<void> = Promise.resolve();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
  private readonly saving = new Map<string, () => void>();
  private readonly checks = new Map<string, number>();
  /** Checks of what has been typed that are still to be asked for, or to be answered. */
  private readonly looks = new Map<string, () => Promise<void>>();
  /** Fields that others have changed since they were drawn, with the revision that is shown. */
  private readonly stale = new Map<string, number>();

  constructor(
    private readonly panel: HTMLElement,
    private readonly addresses: Addresses,
    private readonly edit: (operation: Operation, base?: number) => void,
    private readonly act: (what: "duplicate" | "remove" | "repin", version: string) => void,
    private readonly stored: (node: string, part: Part, field: string) => Json | undefined,
  ) {
    panel.addEventListener("input", (event) => this.typed(event));
    panel.addEventListener("focusout", () => this.flush());
    panel.addEventListener("click", (event) => this.clicked(event));
    panel.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The node that is shown; null for the pipeline as a whole. */
  get node(): string | null {
    return this.shown ?? null;
  }

  /** Resolves when the form is there. */
  show(node: string | null, ready: Promise<void> = Promise.resolve()): Promise<void> {
    if (node === this.shown) return this.loading;
    const checked = this.settle(); // while the form is there: the answers are read from it
    this.shown = node;
    this.loading = this.load(checked ? Promise.all([ready, checked]) : ready);
    return this.loading;
  }

  /** Draws the form anew, unless somebody is typing in it. */
  async refresh(): Promise<void> {
    if (!this.panel.contains(document.activeElement)) await this.load(Promise.resolve());
  }

  /** What a node pins may have a newer version by now, which somebody made in another tab. */
  async lookAgain(): Promise<void> {
    if (this.panel.querySelector("[data-pin]")) await this.refresh();
  }

  /** Others have changed this. Who is typing keeps the form, and what is typed over their value is sent
   * as made on what was seen, so that it is refused and not lost on either side. */
  async changed(operations: Operation[], since: number): Promise<void> {
    const keys = operations.flatMap((operation) => keysOf(operation, this.node));
    if (!keys.length) return;
    if (!this.panel.contains(document.activeElement)) return this.load(Promise.resolve());
    for (const key of keys) if (!this.stale.has(key)) this.stale.set(key, since);
  }

  async several(count: number): Promise<void> {
    this.flush();
    this.shown = undefined;
    this.turn++;
    const hint = "Drag or press an arrow key with Shift to move them. Select one to configure it.";
    this.say(`${count} nodes selected`, hint);
  }

  /** A run has ended: what is shown of the last one is older. */
  ran(): void {
    if (this.tab === LAST) this.openTab(LAST);
  }

  /** A field was saved: what others lack, or were refused for, may be another now. `wrong` names those of
   * which something is said elsewhere. */
  lookAround(wrong: string[]): void {
    for (const element of this.panel.querySelectorAll<HTMLElement>("[data-part=config][data-field]")) {
      const field = fieldOf(element);
      if (!field || element.contains(document.activeElement)) continue;
      if (wrong.includes(field.name) || element.querySelector(".said .err")) this.check(field);
    }
  }

  focusLabel(): void {
    const label = this.panel.querySelector<HTMLInputElement>("[name=label]");
    label?.focus();
    label?.select();
  }

  focusField(name: string): void {
    this.openTab(CONFIGURE);
    const field = this.panel.querySelector<HTMLElement>(`[data-field="${CSS.escape(name)}"]`);
    field?.querySelector<HTMLElement>("input, textarea, select")?.focus();
  }

  /** Sends what has been typed and is valid without waiting for a pause. */
  flush(): void {
    for (const save of [...this.saving.values()]) save();
  }

  /** Has what was typed checked now, and sent where it is valid; null when nothing waits for that. */
  settle(): Promise<void> | null {
    const looks = [...this.looks.values()].map((look) => look());
    this.flush();
    return looks.length ? Promise.allSettled(looks).then(() => this.flush()) : null;
  }

  private async load(ready: Promise<unknown>): Promise<void> {
    const turn = ++this.turn;
    const node = this.shown;
    // A new node is on the server only when its operation is.
    await ready.catch(() => {});
    if (turn !== this.turn) return;
    const address = node ? forNode(this.addresses.node, node) : this.addresses.whole;
    const form = await text(address).catch((error: Error) => error);
    // Somebody who went on meanwhile gets what they went on to.
    if (turn !== this.turn) return;
    this.stale.clear();
    if (typeof form !== "string") return this.lacks(node ?? null, form);
    this.panel.innerHTML = form;
    htmx().process(this.panel);
    this.openTab(this.tab);
  }

  /** What stood here is another node's: who typed on in it would change that one. */
  private lacks(node: string | null, error: Error): void {
    this.shown = undefined;
    const away = error instanceof Unreachable;
    const out = error instanceof Denied && error.status === 401;
    const none = `The server has no form for “${node ?? ""}”.`;
    const why = away ? `${error.message} Select it again.` : out ? error.message : none;
    this.say("Not to be configured now", why);
  }

  private say(title: string, hint: string): void {
    const place = document.createElement("div");
    place.className = "empty";
    const heading = document.createElement("h3");
    heading.textContent = title;
    const text = document.createElement("p");
    text.textContent = hint;
    place.append(heading, text);
    this.panel.replaceChildren(place);
  }

  /** The same tab of every node, until another is chosen; what ran last is fetched when it is looked at. */
  private openTab(panel: string): void {
    const tabs = [...this.panel.querySelectorAll("[role=tab][aria-controls]")];
    const panelOf = (tab: Element) => tab.getAttribute("aria-controls") ?? "";
    if (!tabs.some((tab) => panelOf(tab) === panel)) return;
    this.tab = panel;
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(panelOf(tab) === panel));
      byId(panelOf(tab)).hidden = panelOf(tab) !== panel;
    }
    byId(panel).querySelector("[data-last]")?.dispatchEvent(new CustomEvent("shown"));
  }

  private typed(event: Event): void {
    const target = event.target as HTMLInputElement;
    if (target.name === "label" && this.node) {
      const node = this.node;
      this.later("label", () => {
        this.edit({ op: "rename", node, label: target.value.trim() }, this.stale.get("label"));
      });
    } else if (target.name === "description") {
      this.later("description", () => {
        this.edit({ op: "describe", description: target.value }, this.stale.get("description"));
      });
    } else {
      const field = fieldOf(target);
      if (field) this.check(field);
    }
  }

  private check(field: Field): void {
    const key = keyOf(field);
    const node = this.node;
    if (!node) return;
    this.saving.delete(key);
    clearTimeout(this.timers.get(key));
    const number = (this.checks.get(key) ?? 0) + 1;
    this.checks.set(key, number);
    let asked: Promise<void> | undefined;
    const look = () => (asked ??= this.look(node, key, field, number));
    this.looks.set(key, look);
    this.timers.set(key, setTimeout(() => void look(), CHECK_AFTER));
  }

  private async look(node: string, key: string, field: Field, number: number): Promise<void> {
    clearTimeout(this.timers.get(key));
    await this.ask(node, field);
    if (this.checks.get(key) !== number) return; // more has been typed
    this.looks.delete(key);
    this.judge(node, key, field);
  }

  private ask(node: string, field: Field): Promise<void> {
    const values = { part: field.inside ?? field.part, field: field.name, value: textOf(field) };
    const said = field.element.querySelector(".said");
    const own = field.element.closest<HTMLElement>("[data-option-check]")?.dataset.optionCheck;
    return htmx().ajax("POST", own ?? forNode(this.addresses.check, node), {
      source: field.element,
      target: said,
      swap: "innerHTML",
      values,
    });
  }

  /** The server has said whether the text is a value; if so, it is saved after a pause. */
  private judge(node: string, key: string, field: Field): void {
    const said = field.element.querySelector<HTMLElement>(".said > [data-valid]");
    const box = field.element.querySelector("input, textarea, select");
    if (!said) {
      box?.setAttribute("aria-invalid", "true");
      return;
    }
    box?.removeAttribute("aria-invalid");
    const op = field.part === "policy" ? "set_policy" : "set_config";
    const written = field.inside ?? field.name;
    const value = said.dataset.value;
    const typed = value === undefined ? undefined : (JSON.parse(value) as Json);
    this.later(key, () => {
      const operation: Operation = { op, node, field: written };
      const before = this.stored(node, field.part, written);
      const after = field.inside === undefined ? typed : placed(before, field.name, typed);
      if (after !== undefined) operation.value = after;
      const same = JSON.stringify(before) === JSON.stringify(after);
      if (!same) this.edit(operation, this.stale.get(`${field.part}/${written}`));
    });
  }

  private later(key: string, save: () => void): void {
    clearTimeout(this.timers.get(key));
    const once = () => {
      clearTimeout(this.timers.get(key));
      this.saving.delete(key);
      save();
    };
    this.saving.set(key, once);
    this.timers.set(key, setTimeout(once, SAVE_AFTER));
  }

  private clicked(event: Event): void {
    const target = event.target as Element;
    const tab = target.closest("[role=tab]")?.getAttribute("aria-controls");
    if (tab) return this.openTab(tab);
    const { does, version = "" } = target.closest<HTMLElement>("[data-does]")?.dataset ?? {};
    if (does === "duplicate" || does === "remove" || does === "repin") return this.act(does, version);
    if (does !== "add-row" && does !== "remove-row") return;
    const field = fieldOf(target);
    const rows = field?.element.querySelector(".rows");
    if (!field || !rows) return;
    if (does === "remove-row") target.closest("li")?.remove();
    else rows.append(newRow(rows));
    if (does === "remove-row") this.check(field);
    else rows.querySelector<HTMLInputElement>("li:last-child input")?.focus();
  }
}

/** An address of one node. A file that was imported may have any text for an id. */
export function forNode(address: string, node: string): string {
  return address.replace("NODE", () => encodeURIComponent(node));
}

export function htmx(): Htmx {
  return (window as unknown as { htmx: Htmx }).htmx;
}

/** The fields of the shown form that an operation writes. */
export function keysOf(operation: Operation, shown: string | null): string[] {
  switch (operation.op) {
    case "batch":
      return operation.operations.flatMap((part) => keysOf(part, shown));
    case "describe":
      return shown === null ? ["description"] : [];
    case "rename":
      return operation.node === shown ? ["label"] : [];
    case "set_config":
    case "set_policy":
      return operation.node === shown ? [`${operation.op.slice(4)}/${operation.field}`] : [];
    default:
      return [];
  }
}

function fieldOf(target: Element): Field | null {
  const element = target.closest<HTMLElement>("[data-field]");
  if (!element) return null;
  const { part = "", field = "", widget = "" } = element.dataset;
  if (part === "config" || part === "policy") return { element, part, name: field, widget };
  return { element, part: "config", inside: part, name: field, widget };
}

function keyOf({ part, inside, name }: Field): string {
  return [part, inside, name].filter((each) => each !== undefined).join("/");
}

/** The object with one value changed or, without one, taken away; nothing when none is left. */
export function placed(whole: Json | undefined, name: string, value: Json | undefined): Json | undefined {
  const before = whole && typeof whole === "object" && !Array.isArray(whole) ? whole : {};
  const rest = Object.entries(before).filter(([key]) => key !== name || value !== undefined);
  const after: Values = Object.fromEntries(rest);
  if (value !== undefined) after[name] = value;
  return Object.keys(after).length ? after : undefined;
}

/** What stands in a field, as one text. */
function textOf({ element, widget }: Field): string {
  if (widget === "rows") return JSON.stringify(rowsOf(element));
  if (widget === "switch") {
    return String(element.querySelector<HTMLInputElement>("input")?.checked ?? false);
  }
  if (widget === "segments") {
    return element.querySelector<HTMLInputElement>("input:checked")?.value ?? "";
  }
  return element.querySelector<HTMLInputElement>("input, textarea, select")?.value ?? "";
}

/** The fields of an interface, with what their rows don't show. Rows without a name are left out. */
function rowsOf(element: HTMLElement): Json {
  const text = element.querySelector("script")?.textContent || "[]";
  const before = JSON.parse(text) as Record<string, Json>[];
  return [...element.querySelectorAll<HTMLElement>("[data-row]")].flatMap((row) => {
    const [name, type] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
    if (!name) return [];
    return [{ ...before[Number(row.dataset.row)], name, type: type || "Any" }];
  });
}

function newRow(rows: Element): HTMLElement {
  const row = document.createElement("li");
  row.dataset.row = "new";
  for (const [label, value] of [["Name", ""], ["Type", "str"]] as const) {
    const input = document.createElement("input");
    input.className = "input mono";
    input.setAttribute("aria-label", label);
    input.spellcheck = false;
    input.value = value;
    row.append(input);
  }
  const pattern = rows.querySelector("[data-does=remove-row]");
  const remove = (pattern?.cloneNode(true) ?? document.createElement("button")) as HTMLButtonElement;
  remove.type = "button";
  remove.className = "btn quiet sm icon";
  remove.dataset.does = "remove-row";
  remove.setAttribute("aria-label", "Remove this field");
  if (!pattern) remove.textContent = "×";
  row.append(remove);
  return row;
}
