/** Keys that work on every page, unless one is typing. */

export const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

export function isTyping(target: EventTarget | null): boolean {
  const element = target as Element | null;
  return !!element?.closest?.("input, textarea, select, code-editor, [contenteditable]");
}

export function shortcuts(): void {
  if (isMac) for (const key of document.querySelectorAll("[data-mod]")) key.textContent = "⌘";
  document.addEventListener("keydown", (event) => {
    const mod = event.ctrlKey || event.metaKey;
    if (mod && !event.shiftKey && event.key.toLowerCase() === "k") return show(event, "goto");
    if (mod || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    if (event.key === "?") show(event, "shortcuts");
    if (event.key === "/") search(event);
  });
}

function show(event: KeyboardEvent, id: string): void {
  const dialog = document.getElementById(id) as HTMLDialogElement | null;
  if (!dialog || document.querySelector("dialog:modal")) return;
  event.preventDefault();
  dialog.showModal();
}

function search(event: KeyboardEvent): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}
