/** How code looks: the house's tokens, so light and dark come from the page. */

import { HighlightStyle } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export const highlighting = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlOperator], color: "var(--type-obj)", fontWeight: "600" },
  { tag: tags.meta, color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.variableName, tags.propertyName], color: "var(--code-key)" },
  { tag: [tags.function(tags.variableName), tags.typeName], color: "var(--code-num)" },
  { tag: tags.string, color: "var(--code-str)" },
  { tag: [tags.number, tags.atom, tags.bool, tags.null], color: "var(--code-num)" },
  { tag: tags.comment, color: "var(--text-muted)", fontStyle: "italic" },
]);

const UNDERLINE = "underline wavy var(--status-failed) 1.5px";

export const look = EditorView.theme({
  "&": {
    boxSizing: "border-box",
    font: "var(--code-font, 400 12px/18px var(--mono))",
    color: "var(--text)",
    background: "var(--code-ground, var(--surface-1))",
    border: "var(--code-border, 1px solid var(--border-control))",
    borderRadius: "var(--code-radius, var(--r2))",
    minHeight: "var(--code-least, calc(2lh + 12px))",
    maxHeight: "var(--code-most, 40dvh)",
    overflow: "hidden",
    resize: "var(--code-resize, vertical)",
  },
  "&:hover": { borderColor: "var(--text-muted)" },
  "&.cm-focused": { outline: "var(--code-outline, 2px solid var(--focus))", outlineOffset: "-1px" },
  "&.invalid": {
    borderColor: "var(--status-failed)",
    boxShadow: "inset 0 0 0 1px var(--status-failed)",
  },
  "&.off": { background: "var(--surface-2)", color: "var(--text-muted)" },
  ".cm-scroller": { font: "inherit", lineHeight: "inherit", overflow: "auto" },
  ".cm-content": { padding: "var(--code-pad-y, 5px) 0", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 var(--code-pad-x, 8px)" },
  ".cm-placeholder": { color: "var(--text-muted)" },
  ".cm-gutters": { background: "none", border: "0", color: "var(--text-muted)" },
  ".cm-foldGutter .cm-gutterElement": { padding: "0 0 0 4px", cursor: "pointer" },
  ".cm-foldPlaceholder": {
    background: "var(--surface-3)",
    border: "0",
    borderRadius: "var(--r1)",
    color: "var(--text-2)",
    padding: "0 4px",
    margin: "0 2px",
  },
  "&.cm-focused .cm-matchingBracket": {
    background: "var(--accent-soft)",
    outline: "1px solid var(--accent-line)",
  },
  "&.cm-focused .cm-nonmatchingBracket": { background: "var(--diff-del)" },
  // Its own underline is an image in a data: address, which the page's policy forbids.
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: UNDERLINE, textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": {
    backgroundImage: "none",
    textDecoration: UNDERLINE.replace("failed", "warn"),
    textUnderlineOffset: "3px",
  },
  ".cm-lintPoint": { backgroundImage: "none" },
  ".cm-tooltip": {
    background: "var(--surface-raised)",
    color: "var(--text)",
    border: "1px solid var(--border)",
    borderRadius: "var(--r2)",
    boxShadow: "var(--shadow-2)",
    overflow: "hidden",
    zIndex: "40",
  },
  ".cm-tooltip .cm-diagnostic": {
    padding: "6px 8px",
    border: "0",
    maxWidth: "44ch",
    whiteSpace: "pre-wrap",
    font: "400 12px/16px var(--font)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": {
    font: "400 12px/16px var(--mono)",
    maxHeight: "208px",
    padding: "4px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": {
    display: "flex",
    gap: "12px",
    padding: "4px 6px",
    borderRadius: "var(--r1)",
    lineHeight: "16px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    background: "var(--accent-soft)",
    color: "var(--text)",
  },
  ".cm-panels": { background: "var(--surface-2)", color: "var(--text)", zIndex: "2" },
  ".cm-panels-top": { borderBottom: "1px solid var(--border)" },
  ".cm-panel.cm-search": { display: "flex", gap: "4px", padding: "4px", font: "400 12px/18px var(--font)" },
  ".cm-panel .cm-textfield": { flex: "1", minWidth: "0" },
  ".cm-panel :is(.cm-textfield, .cm-button)": {
    height: "24px",
    margin: "0",
    padding: "0 6px",
    border: "1px solid var(--border-control)",
    borderRadius: "var(--r2)",
    background: "var(--surface-1)",
    color: "var(--text)",
    font: "inherit",
  },
  ".cm-panel :is(.cm-textfield, .cm-button):focus-visible": {
    outline: "2px solid var(--focus)",
    outlineOffset: "-1px",
    borderColor: "var(--border-control)",
  },
  ".cm-panel .cm-button": { cursor: "pointer", backgroundImage: "none" },
  ".cm-panel .cm-button:active": { background: "var(--surface-3)" },
  "& .cm-searchMatch": { background: "var(--accent-soft)", outline: "1px solid var(--accent-line)" },
  "& .cm-searchMatch-selected": { background: "var(--accent-line)" },
  ".cm-completionMatchedText": { textDecoration: "none", color: "var(--accent)", fontWeight: "600" },
  ".cm-completionDetail": {
    marginInlineStart: "auto",
    fontStyle: "normal",
    fontFamily: "var(--font)",
    color: "var(--text-muted)",
  },
});

/** The box stays where it is and takes what a page gives it (a press on its label, a message of the
 * browser), but is not seen. Its text is not laid out. */
export const HIDDEN = `
:host { display: block; position: relative; min-width: 0; }
::slotted(textarea) {
  position: absolute !important; inset: 0 !important; z-index: -1 !important;
  width: 100% !important; height: 100% !important; min-height: 0 !important; max-height: none !important;
  margin: 0 !important; border: 0 !important; padding: 0 !important; opacity: 0 !important;
  pointer-events: none !important; resize: none !important; overflow: hidden !important;
  white-space: pre !important; field-sizing: fixed !important; content-visibility: hidden !important;
}
.own { margin: 4px 0 0; font: 400 12px/16px var(--font); color: var(--status-failed); }
.own:empty { display: none; }
`;
