/** The panels round the canvas: tabs, folding, and the height of the lower one. */

import { byId } from "./types";

const LOWEST = 120;
const STEP = 24;

export function panels(editor: HTMLElement): void {
  tabs(editor);
  folding(editor, "fold-drawer", "drawer-closed");
  folding(editor, "fold-palette", "palette-closed");
  resizing(editor, byId("drawer-edge"));
}

export function openTab(name: "run" | "problems"): void {
  byId(`tab-${name}`).click();
}

function tabs(editor: HTMLElement): void {
  const all = [...editor.querySelectorAll<HTMLElement>(".drawer [role=tab]")];
  for (const tab of all) {
    tab.addEventListener("click", () => {
      editor.classList.remove("drawer-closed");
      byId("fold-drawer").setAttribute("aria-expanded", "true");
      for (const other of all) {
        other.setAttribute("aria-selected", String(other === tab));
        byId(other.getAttribute("aria-controls") ?? "").hidden = other !== tab;
      }
    });
  }
}

function folding(editor: HTMLElement, id: string, css: string): void {
  const button = byId(id);
  const closed = localStorage.getItem(`dspex-${css}`) === "1";
  editor.classList.toggle(css, closed);
  button.setAttribute("aria-expanded", String(!closed));
  button.addEventListener("click", () => {
    const folds = editor.classList.toggle(css);
    button.setAttribute("aria-expanded", String(!folds));
    localStorage.setItem(`dspex-${css}`, folds ? "1" : "0");
  });
}

function resizing(editor: HTMLElement, edge: HTMLElement): void {
  const set = (height: number) => {
    const highest = innerHeight * 0.6;
    const pixels = Math.round(Math.min(highest, Math.max(LOWEST, height)));
    editor.style.setProperty("--drawer", `${pixels}px`);
    edge.setAttribute("aria-valuenow", String(pixels));
  };
  const height = () => edge.parentElement?.clientHeight ?? LOWEST;
  edge.addEventListener("pointerdown", (event) => {
    edge.setPointerCapture(event.pointerId);
    const from = event.clientY + height();
    const drag = (move: PointerEvent) => set(from - move.clientY);
    edge.addEventListener("pointermove", drag);
    edge.addEventListener("pointerup", () => edge.removeEventListener("pointermove", drag), {
      once: true,
    });
  });
  edge.addEventListener("keydown", (event) => {
    if (event.key === "ArrowUp") set(height() + STEP);
    else if (event.key === "ArrowDown") set(height() - STEP);
    else return;
    event.preventDefault();
  });
}
