/** Go to anything: arrows choose among what the server found, Enter goes there. */

export function goto(): void {
  const dialog = document.getElementById("goto") as HTMLDialogElement | null;
  const input = dialog?.querySelector("input");
  const list = document.getElementById("goto-places");
  if (!dialog || !input || !list) return;
  const options = () => [...list.querySelectorAll<HTMLElement>("[role=option]")];
  const choose = (at: number) => {
    for (const [place, option] of options().entries()) {
      option.setAttribute("aria-selected", String(place === at));
      if (place === at) {
        input.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    }
  };
  const chosen = () => options().findIndex((option) => option.ariaSelected === "true");
  // Who types and presses Enter at once means what the server is about to find.
  const isFresh = () => list.querySelector<HTMLElement>("[data-q]")?.dataset.q === input.value.trim();
  let goes = false;
  new MutationObserver(() => {
    choose(0);
    if (goes && isFresh()) options()[0]?.click();
  }).observe(list, { childList: true });
  input.addEventListener("input", () => (goes = false));
  input.addEventListener("keydown", (event) => {
    const count = options().length;
    if (event.key === "Enter" && !isFresh()) goes = true;
    else if (event.key === "Enter") options()[chosen()]?.click();
    else if (event.key === "ArrowDown") choose((chosen() + 1) % count);
    else if (event.key === "ArrowUp") choose((chosen() - 1 + count) % count);
    else return;
    event.preventDefault();
  });
}
