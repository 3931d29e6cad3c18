/** The bar of the canvas: zoom, fit, and what the page adds to it. */

import { useStore } from "@xyflow/react";
import { memo } from "react";
import { useParts } from "./context";
import { Icon } from "./glyphs";

interface ToolsProps {
  /** The page can lay out the graph: it listens to `request-tidy`. */
  tidies: boolean;
}

export const Tools = memo(function Tools({ tidies }: ToolsProps) {
  const { stage, view } = useParts();
  const percent = useStore((state) => Math.round(state.transform[2] * 100));
  const tidy = () => stage.emit("request-tidy", { nodes: stage.selection.nodes });
  return (
    <div className="pc-tools" role="toolbar" aria-label="Canvas">
      <Tool icon="minus" label="Zoom out" onClick={() => view.zoomBy(-1)} />
      <button type="button" className="pc-percent" title="Zoom to 100%" onClick={() => view.zoomTo(1)}>
        {percent}%
      </button>
      <Tool icon="plus" label="Zoom in" onClick={() => view.zoomBy(1)} />
      <span className="pc-rule" />
      <Tool icon="fit" label="Fit to view" onClick={() => view.fit()} />
      {tidies && <Tool icon="tidy" label="Tidy layout" onClick={tidy} />}
    </div>
  );
});

function Tool({ icon, label, onClick }: { icon: string; label: string; onClick: () => void }) {
  return (
    <button type="button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} small />
    </button>
  );
}
