/** The list of runs: boxes that choose several, and how many are chosen. */

export function chooser(): void {
  document.addEventListener("change", (event) => {
    const box = event.target as HTMLInputElement;
    if (box.matches("[data-does=choose-all]")) {
      for (const each of boxes()) each.checked = box.checked;
    }
    if (box.matches("[data-does=choose-all], [name=run]")) tell();
  });
}

function boxes(): HTMLInputElement[] {
  return [...document.querySelectorAll<HTMLInputElement>("#results input[name=run]")];
}

function tell(): void {
  const all = boxes();
  const chosen = all.filter((each) => each.checked).length;
  const said = document.querySelector("#several [data-part=count]");
  if (said) said.textContent = chosen === 1 ? "1 run chosen" : `${chosen} runs chosen`;
  const every = document.querySelector<HTMLInputElement>("[data-does=choose-all]");
  if (!every) return;
  every.checked = chosen === all.length;
  every.indeterminate = chosen > 0 && chosen < all.length;
}
