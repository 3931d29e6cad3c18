/** A version or an earlier revision: to look at, and to take the draft back to. */

import type { CanvasEvents } from "../canvas/types";
import { Inspector } from "./inspector";
import { handOver, restore, wantedBy } from "./past";
import { byId, read, type Canvas, type FirstState } from "./types";

export function viewer(page: HTMLElement): void {
  const canvas = document.querySelector("pipeline-canvas") as Canvas;
  const { inspector = "", nodeForm: node = "", restore: address = "", pipeline = "", draft = "" } = page.dataset;
  const addresses = { whole: inspector, node, check: "" };
  const panel = new Inspector(byId("inspector"), addresses, nothing, nothing, nothing);
  void panel.show(null);
  canvas.addEventListener("selection", (event) => {
    const { nodes } = (event as CustomEvent<CanvasEvents["selection"]>).detail;
    void (nodes.length > 1 ? panel.several(nodes.length) : panel.show(nodes[0] ?? null));
  });
  page.addEventListener("click", async (event) => {
    const button = (event.target as Element).closest<HTMLElement>("[data-does=restore]");
    if (!button) return;
    const wanted = wantedBy(button);
    const id = await restore(address, read<FirstState>("editor-state").revision, wanted);
    if (!id) return;
    handOver(pipeline, id, wanted);
    location.assign(draft);
  });
}

function nothing(): undefined {}
