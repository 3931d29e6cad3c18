/** Light or dark: what the system says, until somebody chooses. The choice is a cookie, so that the
 * server draws the page right from the first byte. */

const YEAR = 31_536_000;

export function theme(): void {
  for (const button of document.querySelectorAll<HTMLElement>("[data-does=theme]")) {
    button.addEventListener("click", () => choose(isDark() ? "light" : "dark"));
  }
}

function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function choose(theme: "light" | "dark"): void {
  document.documentElement.dataset.theme = theme;
  document.cookie = `dspex_theme=${theme}; path=/; max-age=${YEAR}; samesite=lax`;
}
