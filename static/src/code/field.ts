/** CodeMirror in the place of a form's text box: what a `<code-editor>` becomes once this is loaded.
 *
 * It lives in the element's shadow root, so that the markup stays the server's: swaps and morphs see the text
 * box and nothing else, and its style sheets need no leave from the page's policy. */

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { history, historyKeymap, indentWithTab, standardKeymap } from "@codemirror/commands";
import {
  bracketMatching,
  codeFolding,
  foldGutter,
  foldKeymap,
  StreamLanguage,
  syntaxHighlighting,
} from "@codemirror/language";
import { json } from "@codemirror/lang-json";
import { nextDiagnostic, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { Compartment, EditorState, Transaction, type Extension } from "@codemirror/state";
import { EditorView, keymap, placeholder, type KeyBinding } from "@codemirror/view";
import { Bridge, changeBetween } from "./bridge";
import { findKeys, finding } from "./find";
import { formatted, problemIn } from "./json";
import { HIDDEN, highlighting, look } from "./look";
import { markedIn, toldIn } from "./problems";
import * as signature from "./signature";
import * as template from "./template";
import { answerOf, signatureSource, templateSource, type Name, type Offers, type Words } from "./words";

const LOOK_AFTER = 300;
/** Milliseconds without typing until JSON is read. */
const INDENTS = "dspex-tab-indents";
const NO_WORDS: Words = { statements: [], filters: [], tests: [], functions: [], operators: [], types: [] };
const TOO_LONG = "Not taken: the text would be longer than this field takes.";

export class CodeField {
  readonly view: EditorView;
  private readonly bridge: Bridge;
  private readonly state = new Compartment();
  private readonly place = document.createElement("div");
  private readonly own = document.createElement("p");
  private readonly watch: MutationObserver;
  private readonly said: MutationObserver;
  private saying: Element[] = [];
  private looks: ReturnType<typeof setTimeout> | undefined;
  private takesOver = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly box: HTMLTextAreaElement,
  ) {
    const root = host.shadowRoot ?? withSlot(host.attachShadow({ mode: "open" }));
    this.own.className = "own";
    this.own.setAttribute("role", "status");
    root.prepend(this.place);
    this.place.after(this.own);
    this.bridge = new Bridge(box, (text) => this.show(text));
    const focused = document.activeElement === box;
    this.view = new EditorView({ parent: this.place, root, state: this.begin(this.bridge.text) });
    this.view.setTabFocusMode(!indents());
    // The page hears of typing from the box, whose events pass through the root.
    this.place.addEventListener("input", (event) => event.stopPropagation());
    this.watch = new MutationObserver((changes) => this.boxChanged(changes));
    this.watch.observe(box, { attributes: true, characterData: true, childList: true, subtree: true });
    this.said = new MutationObserver(() => this.mark());
    box.addEventListener("focus", this.focused);
    box.form?.addEventListener("reset", this.reset);
    this.boxChanged([]);
    if (focused) this.focused();
  }

  release(): void {
    clearTimeout(this.looks);
    this.watch.disconnect();
    this.said.disconnect();
    this.box.removeEventListener("focus", this.focused);
    this.box.form?.removeEventListener("reset", this.reset);
    this.bridge.release();
    this.view.destroy();
    this.place.remove();
    this.own.remove();
  }

  private begin(text: string): EditorState {
    const { language = "" } = this.host.dataset;
    return EditorState.create({
      doc: text,
      extensions: [
        look,
        EditorView.lineWrapping,
        syntaxHighlighting(highlighting),
        history(),
        bracketMatching(),
        finding,
        closeBrackets(),
        keymap.of([...ownKeys(language), ...closeBracketsKeymap, ...standardKeymap, ...historyKeymap]),
        keymap.of([...findKeys, ...foldKeymap, indentWithTab]),
        languageOf(language, this.offers()),
        EditorView.domEventHandlers({ beforeinput: typedOver }),
        EditorState.changeFilter.of((change) => this.fits(change)),
        EditorView.updateListener.of((update) => {
          const { doc } = update.state;
          if (update.docChanged && !this.takesOver) this.bridge.typed(doc.length, () => doc.toString());
          if (update.docChanged) this.later();
          if (update.focusChanged) update.view.hasFocus ? this.bridge.entered() : this.bridge.left();
        }),
        this.state.of([]),
      ],
    });
  }

  /** Lets the focus through, with what is selected: scripts and labels speak to the box. */
  private readonly focused = (): void => {
    const { selectionStart: from, selectionEnd: to } = this.box;
    if (from !== to) this.view.dispatch({ selection: { anchor: from, head: to } });
    this.view.focus();
  };

  private readonly reset = (): void => {
    queueMicrotask(() => this.bridge.reset()); // the event comes before the reset
  };

  private show(text: string): void {
    const before = this.view.state.doc.toString();
    const after = text.replace(/\r\n?/g, "\n");
    if (before === after) return;
    this.takesOver = true;
    this.view.dispatch({ changes: changeBetween(before, after), filter: false });
    this.takesOver = false;
  }

  /** A text box takes what fits and drops the rest; half of a text that was pasted helps nobody. */
  private fits(change: Transaction): boolean {
    const { maxLength } = this.box;
    if (maxLength < 0 || change.newDoc.length <= maxLength) return true;
    if (change.newDoc.length <= change.startState.doc.length) return true;
    queueMicrotask(() => (this.own.textContent = TOO_LONG));
    return false;
  }

  private boxChanged(changes: MutationRecord[]): void {
    if (changes.some(({ type }) => type !== "attributes")) this.bridge.look();
    if (this.box.tabIndex !== -1) this.box.tabIndex = -1; // one stop for the Tab key
    if (this.box.ariaHidden !== "true") this.box.ariaHidden = "true";
    this.view.dispatch({ effects: this.state.reconfigure(stateOf(this.box)) });
    const describing = elements(this.box.getAttribute("aria-describedby"));
    this.view.contentDOM.ariaDescribedByElements = describing;
    this.saying = [...describing, ...elements(this.host.dataset.problems)];
    this.said.disconnect();
    for (const each of this.saying) this.said.observe(each, { childList: true, subtree: true });
    this.mark();
  }

  private later(): void {
    clearTimeout(this.looks);
    this.looks = setTimeout(() => this.mark(), LOOK_AFTER);
  }

  /** Marks what is wrong: what is no JSON we see ourselves, the rest the page has been told. */
  private mark(): void {
    const { doc } = this.view.state;
    const wrong = this.readsJson() ? problemIn(doc.toString()) : null;
    const own: Diagnostic[] = wrong ? [{ ...visible(wrong, doc.length), severity: "error" }] : [];
    const told = wrong ? [] : toldIn(this.saying).map((each) => markedIn(this.view.state, each));
    const all = [...own, ...told].filter((each) => each !== null);
    this.own.textContent = wrong && !("checked" in this.host.dataset) ? inWords(this.view, wrong) : "";
    const shown = all.filter(({ from, to }) => from < to).sort((left, right) => left.from - right.from);
    this.view.dispatch(setDiagnostics(this.view.state, shown));
  }

  /** Some fields take JSON or plain text; what begins like JSON is meant as such. */
  private readsJson(): boolean {
    const { language, orText } = this.host.dataset;
    if (language !== "json") return false;
    const begins = /^\s*(\S)/.exec(this.view.state.sliceDoc(0, 1_000))?.[1];
    return begins !== undefined && (orText === undefined || "[{".includes(begins));
  }

  private offers(): Offers {
    const { words = "", names = "", types = "" } = this.host.dataset;
    return {
      words: () => answerOf(words, NO_WORDS, "for good"),
      names: () => answerOf<{ names: Name[] }>(names, { names: [] }, "briefly").then((all) => all.names),
      ownTypes: () => keysOf((document.getElementById(types) as HTMLTextAreaElement | null)?.value ?? ""),
    };
  }
}

function languageOf(language: string, offers: Offers): Extension {
  const expression = language === "expression";
  switch (language) {
    case "json":
      return [json(), codeFolding(), foldGutter({ openText: "⌄", closedText: "›" })];
    case "template":
    case "expression":
      return [
        StreamLanguage.define(streamed(() => template.begin(expression), template.read)),
        autocompletion({ override: [templateSource(offers, expression)], icons: false }),
      ];
    case "signature":
      return [
        StreamLanguage.define(streamed(signature.begin, signature.read)),
        autocompletion({ override: [signatureSource(offers)], icons: false }),
      ];
    default:
      return [];
  }
}

function streamed<State extends object>(
  begin: () => State,
  read: (line: string, at: number, state: State) => [number, string | null],
) {
  return {
    startState: begin,
    copyState: (state: State) => ({ ...state }),
    token(stream: { string: string; pos: number }, state: State): string | null {
      const [end, style] = read(stream.string, stream.pos, state);
      stream.pos = end;
      return style;
    },
    languageData: { closeBrackets: { brackets: ["(", "[", "{"] } },
  };
}

/** Typing over a selection. The browser would keep the look of what it replaces by a style attribute, which
 * the page's policy forbids. */
function typedOver(event: InputEvent, view: EditorView): boolean {
  const { data } = event;
  if (event.inputType !== "insertText" || !data || view.composing || view.state.readOnly) return false;
  const { from, to } = selected(view) ?? view.state.selection.main;
  if (from >= to) return false;
  view.dispatch({ selection: { anchor: from, head: to } });
  const { state } = view;
  const insert = () =>
    state.update(state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
  const handled = state.facet(EditorView.inputHandler).some((each) => each(view, from, to, data, insert));
  if (!handled) view.dispatch(insert());
  return true; // nothing is left to the browser
}

/** What the browser has selected, which the state may not know yet; null when it does not tell. */
function selected(view: EditorView): { from: number; to: number } | null {
  const shadowRoots = [view.root as ShadowRoot];
  const [range] = document.getSelection()?.getComposedRanges?.({ shadowRoots }) ?? [];
  if (!range || !view.contentDOM.contains(range.startContainer)) return null;
  return {
    from: view.posAtDOM(range.startContainer, range.startOffset),
    to: view.posAtDOM(range.endContainer, range.endOffset),
  };
}

/** The page's keys stay the page's: Ctrl+Enter runs, Ctrl+S saves. */
function ownKeys(language: string): KeyBinding[] {
  const format = { key: "Shift-Alt-f", run: order, preventDefault: true };
  return [
    { key: "F8", run: nextDiagnostic },
    { key: "Ctrl-m", mac: "Shift-Alt-m", run: toggleTab, preventDefault: true },
    ...(language === "json" ? [format] : []),
  ];
}

function order(view: EditorView): boolean {
  const before = view.state.doc.toString();
  const after = view.state.readOnly ? null : formatted(before);
  if (after !== null && after !== before) {
    view.dispatch({ changes: { from: 0, to: before.length, insert: after }, userEvent: "input.format" });
  }
  return true;
}

/** Whether Tab indents is each person's choice, kept by the browser. */
function toggleTab(view: EditorView): boolean {
  const now = !indents();
  localStorage.setItem(INDENTS, now ? "yes" : "no");
  view.setTabFocusMode(!now);
  const said = now ? "Tab indents. Press Escape, then Tab, to leave." : "Tab leaves the field.";
  view.dispatch({ effects: EditorView.announce.of(said) });
  return true;
}

function indents(): boolean {
  return localStorage.getItem(INDENTS) === "yes";
}

/** What the box's attributes mean for the editor, looks and names included. */
function stateOf(box: HTMLTextAreaElement): Extension {
  const off = box.matches(":disabled");
  const attributes: Record<string, string> = { "aria-label": labelOf(box) };
  if (box.getAttribute("aria-invalid") === "true") attributes["aria-invalid"] = "true";
  if (box.readOnly || off) attributes["aria-readonly"] = "true";
  if (box.required) attributes["aria-required"] = "true";
  if (off) attributes["aria-disabled"] = "true";
  const names = [attributes["aria-invalid"] ? "invalid" : "", off ? "off" : ""].join(" ");
  return [
    EditorState.readOnly.of(box.readOnly || off),
    EditorView.editable.of(!off),
    EditorView.contentAttributes.of(attributes),
    EditorView.editorAttributes.of({ class: names.trim() }),
    box.placeholder ? placeholder(box.placeholder) : [],
  ];
}

function labelOf(box: HTMLTextAreaElement): string {
  const parts = [...(box.labels[0]?.childNodes ?? [])].map((node) => node.textContent ?? "");
  const label = parts.join(" ") || (box.getAttribute("aria-label") ?? "");
  return label.replace(/\s+/g, " ").trim();
}

function withSlot(root: ShadowRoot): ShadowRoot {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(HIDDEN);
  root.adoptedStyleSheets = [sheet];
  root.append(document.createElement("slot"));
  return root;
}

function elements(ids: string | null | undefined): Element[] {
  const found = (ids ?? "").split(/\s+/).map((id) => (id ? document.getElementById(id) : null));
  return found.filter((each) => each !== null);
}

/** A problem at the end of the text is marked at its last character. */
function visible(problem: { from: number; to: number; message: string }, length: number) {
  const to = Math.min(Math.max(problem.to, problem.from + 1), length);
  return { from: Math.min(problem.from, Math.max(0, to - 1)), to, message: problem.message };
}

function inWords(view: EditorView, { from, message }: { from: number; message: string }): string {
  const line = view.state.doc.lineAt(from);
  return `Line ${line.number}, column ${from - line.from + 1}: ${message}`;
}

function keysOf(text: string): string[] {
  try {
    const value = JSON.parse(text) as unknown;
    return value && typeof value === "object" && !Array.isArray(value) ? Object.keys(value) : [];
  } catch {
    return [];
  }
}
