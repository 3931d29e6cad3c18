/** Short answers to what a person did. They leave by themselves, unless the pointer or the focus is on
 * them. */

const STAYS = 6_000;

export function toasts(): void {
  const place = document.getElementById("toasts");
  if (!place) return;
  for (const each of place.children) leave(each as HTMLElement);
  place.addEventListener("click", (event) => {
    const target = event.target as Element;
    if (target.closest("[data-does=close]")) target.closest(".toast")?.remove();
  });
}

/** Says something; `act` is a button of its own in it, such as Undo. */
export function toast(
  text: string,
  status: "ok" | "failed" | "warn" = "ok",
  act?: { label: string; does: () => void },
): void {
  const place = document.getElementById("toasts");
  if (!place) return;
  const toast = document.createElement("div");
  toast.className = "toast";
  const said = document.createElement("span");
  said.textContent = text;
  const end = document.createElement("span");
  end.className = "end";
  toast.append(glyph(status), said, end);
  if (act) toast.append(button(act.label, "btn quiet sm", act.does));
  toast.append(button("Close", "btn quiet sm", () => {}));
  place.append(toast);
  leave(toast);
}

export function glyph(status: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "st");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("aria-hidden", "true");
  svg.dataset.st = status;
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite()}#s-${status}`);
  svg.append(use);
  return svg;
}

/** Where the drawings are: as the server's own icons say. */
export function sprite(): string {
  const first = document.querySelector("svg use")?.getAttribute("href") ?? "";
  return first.split("#")[0] ?? "";
}

function button(label: string, css: string, does: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = css;
  made.textContent = label;
  made.addEventListener("click", () => {
    does();
    made.closest(".toast")?.remove();
  });
  return made;
}

function leave(toast: HTMLElement): void {
  setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) leave(toast);
    else toast.remove();
  }, STAYS);
}
