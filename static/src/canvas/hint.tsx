/** What would happen if the edge that is being drawn were dropped here: beside the pointer. */

import { useStore } from "@xyflow/react";
import { useParts } from "./context";
import { Glyph } from "./glyphs";
import type { Joining } from "./rules";
import { useSignal } from "./signal";
import type { PortRef } from "./types";

export function JoinHint() {
  const { stage } = useParts();
  const joining = useSignal(stage.joining);
  return joining && <Hint joining={joining} />;
}

function Hint({ joining }: { joining: Joining }) {
  const to = useStore(({ connection }) => {
    const handle = connection.inProgress ? connection.toHandle : null;
    return handle?.id ? `${handle.type}\n${handle.nodeId}\n${handle.id}` : "";
  });
  const place = useStore(({ connection }) =>
    connection.inProgress ? `${Math.round(connection.pointer.x)}\n${Math.round(connection.pointer.y)}` : "",
  );
  const text = to && hintOf(joining, to);
  if (!text || !place) return null;
  const [x = 0, y = 0] = place.split("\n").map(Number);
  return (
    <div className="pc-hint" style={{ transform: `translate(${x + 14}px, ${y + 14}px)` }}>
      {text.refused && <Glyph name="failed" />}
      {text.words}
    </div>
  );
}

function hintOf(joining: Joining, to: string): { words: string; refused: boolean } | null {
  const [type, node = "", port = ""] = to.split("\n");
  const end: PortRef = { node, port, side: type === "source" ? "output" : "input" };
  if (node === joining.from.node && port === joining.from.port) return null;
  const refusal = joining.refusal(end);
  if (refusal !== null) return { words: refusal, refused: true };
  const old = joining.replaced(end);
  if (!old) return null;
  const words = `Replaces ${old.source_port} from ${joining.model.title(old.source)}`;
  return { words, refused: false };
}
