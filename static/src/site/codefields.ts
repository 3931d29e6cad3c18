/** <code-editor>: a text box of a form in which code is typed.
 *
 *   <code-editor data-language="template"><textarea id="…" name="…">…</textarea></code-editor>
 *
 * The text box is the field: it keeps the text, its label, its errors and its events, and without scripts it
 * is all there is. The editor is loaded only where one is about to be used: on pages whose purpose it is
 * (`data-eager`), else when the pointer or the focus comes to the field.
 *
 * `data-language`: template, expression, signature or json. `data-words`, `data-names`: where completion asks.
 * `data-types`: the id of the field that declares further types. `data-problems`: ids of elements that say
 * what is wrong, beside those that describe the field. `data-checked`: the page says what is no JSON.
 * `data-or-text`: the field takes plain text, too. */

import htmx from "htmx.org";

interface Code {
  attach(host: HTMLElement, box: HTMLTextAreaElement): { release(): void };
}

let code: Promise<Code> | undefined;

/** The editor; its address stands in the page, with the hash of its content. */
function loaded(): Promise<Code> {
  const address = document.querySelector<HTMLMetaElement>("meta[name=code-editor]")?.content ?? "";
  code ??= import(address) as Promise<Code>;
  return code;
}

class CodeEditor extends HTMLElement {
  private box: HTMLTextAreaElement | null = null;
  private field: { release(): void } | undefined;
  private readonly children_ = new MutationObserver(() => this.look());

  connectedCallback(): void {
    this.children_.observe(this, { childList: true });
    if ("eager" in this.dataset) this.begin();
    for (const name of ["pointerover", "focusin"]) this.addEventListener(name, this.begin, { once: true });
  }

  disconnectedCallback(): void {
    this.children_.disconnect();
    this.drop();
  }

  /** Moved within the page as a whole: nothing changes. */
  connectedMoveCallback(): void {}

  private readonly begin = (): void => {
    // Without it one types in the text box; what could not be loaded is asked for again later.
    loaded().then(
      () => this.look(),
      () => (code = undefined),
    );
  };

  private look(): void {
    const box = this.querySelector("textarea");
    if (!code || box === this.box) return;
    this.drop();
    this.box = box;
    void code.then(({ attach }) => {
      if (box && box === this.box && !this.field) this.field = attach(this, box);
    });
  }

  private drop(): void {
    this.field?.release();
    this.field = undefined;
    this.box = null;
  }
}

/** Typing goes on when the form round it is drawn anew. Of text boxes htmx knows that, by the focus. */
function isTypedIn(node: Element): boolean {
  const focused = document.activeElement;
  return focused instanceof CodeEditor && node instanceof HTMLTextAreaElement && focused.contains(node);
}

export function codeFields(): void {
  htmx.registerExtension("code-editor", {
    htmx_before_morph_node: (node: Element) => !isTypedIn(node),
  });
  customElements.define("code-editor", CodeEditor);
}
