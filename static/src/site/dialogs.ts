/** Dialogs that the server draws: what comes into `#dialogs` is shown, and goes when it is closed. */

export function dialogs(): void {
  const place = document.getElementById("dialogs");
  if (!place) return;
  new MutationObserver(() => {
    const dialog = place.querySelector("dialog");
    if (!dialog || dialog.open) return;
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
    const bad = dialog.querySelector<HTMLElement>("[aria-invalid=true]");
    (bad ?? dialog.querySelector<HTMLElement>("[autofocus]"))?.focus();
    const first = dialog.querySelector<HTMLInputElement>("input[autofocus]");
    if (!bad && first?.value) first.select();
  }).observe(place, { childList: true });
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    if (target.closest("[data-does=cancel]")) target.closest("dialog")?.close();
    // A press beside a dialog falls on the dialog itself.
    if (target instanceof HTMLDialogElement && !inside(target, event)) target.close();
    if (target.closest("[popover] :is(button, a)")) target.closest<HTMLElement>("[popover]")?.hidePopover();
  });
}

function inside(dialog: HTMLDialogElement, event: MouseEvent): boolean {
  const box = dialog.getBoundingClientRect();
  return (
    (event.clientX === 0 && event.clientY === 0) || // pressed by a key
    (event.clientX >= box.left &&
      event.clientX <= box.right &&
      event.clientY >= box.top &&
      event.clientY <= box.bottom)
  );
}
