/** Find in a text of which only a part is drawn, and which the browser's own search therefore misses. */

import {
  closeSearchPanel,
  findNext,
  findPrevious,
  getSearchQuery,
  openSearchPanel,
  search,
  SearchQuery,
  setSearchQuery,
} from "@codemirror/search";
import type { Extension } from "@codemirror/state";
import { runScopeHandlers, type EditorView, type KeyBinding, type Panel } from "@codemirror/view";

export const finding: Extension = search({ top: true, literal: true, createPanel: panel });

const everywhere = "editor search-panel";

export const findKeys: KeyBinding[] = [
  { key: "Mod-f", run: find, scope: everywhere },
  { key: "Mod-g", run: findNext, shift: findPrevious, scope: everywhere },
  { key: "F3", run: findNext, shift: findPrevious, scope: everywhere },
  { key: "Enter", run: findNext, shift: findPrevious, scope: "search-panel" },
  { key: "Escape", run: closeSearchPanel, scope: "search-panel" },
];

/** In a text that is drawn as a whole the key is the browser's. */
function find(view: EditorView): boolean {
  const { from, to } = view.viewport;
  return (from > 0 || to < view.state.doc.length) && openSearchPanel(view);
}

/** One line: there is little room where code is typed. */
function panel(view: EditorView): Panel {
  const input = document.createElement("input");
  input.className = "cm-textfield";
  input.placeholder = input.ariaLabel = "Find";
  input.setAttribute("main-field", "true"); // what CodeMirror focuses
  input.value = getSearchQuery(view.state).search;
  input.addEventListener("input", () => {
    const query = new SearchQuery({ search: input.value, literal: true });
    view.dispatch({ effects: setSearchQuery.of(query) });
  });
  const dom = document.createElement("div");
  dom.className = "cm-search";
  dom.addEventListener("keydown", (event) => {
    if (runScopeHandlers(view, event, "search-panel")) event.preventDefault();
  });
  dom.append(
    input,
    button("↑", "The one before", () => findPrevious(view)),
    button("↓", "The next one", () => findNext(view)),
    button("×", "Close", () => closeSearchPanel(view)),
  );
  return { dom, top: true, mount: () => input.select() };
}

function button(sign: string, says: string, does: () => void): HTMLElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "cm-button";
  made.textContent = sign;
  made.title = made.ariaLabel = says;
  made.addEventListener("click", does);
  return made;
}
