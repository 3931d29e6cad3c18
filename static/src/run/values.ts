/** Values: shown whole, and copied whole, also what the page shows only the beginning of. */

import { toast } from "../site/toasts";

export function values(): void {
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    const unfold = target.closest<HTMLElement>("[data-does=unfold]");
    if (unfold) return fold(unfold);
    const button = target.closest<HTMLElement>("[data-does=copy-value]");
    if (button) void copy(button);
  });
  document.addEventListener("input", (event) => {
    const box = event.target as HTMLElement;
    if (box instanceof HTMLTextAreaElement && box.dataset.edits) edited(box);
  });
}

function fold(button: HTMLElement): void {
  const folded = button.closest(".value")?.classList.toggle("folded") ?? false;
  button.textContent = folded ? "Show all" : "Show less";
  button.setAttribute("aria-expanded", String(!folded));
}

/** The server takes values as JSON. What was not changed is not sent. */
function edited(box: HTMLTextAreaElement): void {
  const value = box.closest(".field")?.querySelector<HTMLInputElement>("[name=value]");
  if (!value) return;
  const text = box.dataset.edits === "text" ? JSON.stringify(box.value) : box.value;
  value.value = box.value === box.defaultValue ? "" : text;
}

async function copy(button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(await textOf(button));
    toast("Copied.");
  } catch {
    toast("The browser did not let this be copied. Select the text instead.", "failed");
  }
}

async function textOf(button: HTMLElement): Promise<string> {
  const { from } = button.dataset;
  if (!from) return button.closest(".value")?.querySelector("pre, .json")?.textContent ?? "";
  const answer = await fetch(from);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}
