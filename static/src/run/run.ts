/** What pages that show runs have besides what every page has. */

import "./live";
import "./workers";

/** The lane whose step is shown stays marked when the server draws the lanes anew. */
let shown = "";

document.addEventListener("click", (event) => {
  if ((event.target as Element).closest("[data-does=close-step]")) return close();
  const lane = (event.target as Element).closest<HTMLElement>(".lane[data-path]");
  if (!lane) return;
  shown = lane.dataset.path ?? "";
  mark();
});
document.addEventListener("htmx:after:swap", mark);

function close(): void {
  shown = "";
  document.getElementById("step")?.replaceChildren();
  mark();
}

function mark(): void {
  for (const lane of document.querySelectorAll<HTMLElement>(".lane[data-path]")) {
    if (lane.dataset.path === shown) lane.setAttribute("aria-current", "true");
    else lane.removeAttribute("aria-current");
  }
}
