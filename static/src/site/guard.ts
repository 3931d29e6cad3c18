/** A form whose text would be lost: leaving the page with changes that are not saved asks first. */

export function guard(): void {
  const forms = [...document.querySelectorAll<HTMLFormElement>("form[data-guarded]")];
  if (!forms.length) return;
  let leaves = false;
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { response?: { status: number } } }>).detail;
    if ((ctx.response?.status ?? 0) >= 400) leaves = false; // refused: nothing is saved
  });
  for (const form of forms) {
    form.addEventListener("submit", () => (leaves = true));
    form.addEventListener("input", () => (leaves = false));
  }
  addEventListener("beforeunload", (event) => {
    if (!leaves && forms.some(isChanged)) event.preventDefault();
  });
}

function isChanged(form: HTMLFormElement): boolean {
  return [...form.elements].some(
    (each) =>
      (each instanceof HTMLTextAreaElement || each instanceof HTMLInputElement) &&
      !each.readOnly &&
      each.type !== "hidden" &&
      each.value !== each.defaultValue,
  );
}
