/** What can be done with several nodes at once. */

import { memo } from "react";
import { useParts } from "./context";
import { Icon } from "./glyphs";
import { useSignal } from "./signal";

export const Picked = memo(function Picked({ tidies }: { tidies: boolean }) {
  const { stage, commands } = useParts();
  const count = useSignal(stage.picked);
  if (count < 2) return null;
  const tidy = () => stage.emit("request-tidy", { nodes: stage.selection.nodes });
  return (
    <div className="pc-picked" role="toolbar" aria-label="Selected nodes">
      <span>{count} nodes</span>
      <Act icon="fit" label="Fit" onClick={() => commands.run({ do: "fit-selection" })} />
      {tidies && !stage.readonly && <Act icon="tidy" label="Tidy" onClick={tidy} />}
      {!stage.readonly && (
        <>
          <Act icon="copy" label="Duplicate" onClick={() => commands.run({ do: "duplicate" })} />
          <Act icon="trash" label="Remove" danger onClick={() => commands.run({ do: "remove" })} />
        </>
      )}
    </div>
  );
});

interface ActProps {
  icon: string;
  label: string;
  danger?: boolean;
  onClick: () => void;
}

function Act({ icon, label, danger, onClick }: ActProps) {
  return (
    <button type="button" className={danger ? "pc-danger" : undefined} onClick={onClick}>
      <Icon name={icon} small />
      {label}
    </button>
  );
}
