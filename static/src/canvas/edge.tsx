/** An edge in its type's colour, and how far its value has come in the run that is shown. */

import type { ConnectionLineComponentProps, EdgeProps } from "@xyflow/react";
import { memo, useCallback, useSyncExternalStore } from "react";
import { useParts } from "./context";
import type { StepNode, WireData, WireEdge } from "./flow";
import type { Live } from "./live";
import { dataType } from "./ports";
import { curve, route } from "./route";
import { useSignal } from "./signal";
import type { Status } from "./types";

/** How far a value has come along an edge. */
export type Flow = "plain" | "idle" | "live" | "done";

export const WireView = memo(function WireView(props: EdgeProps<WireEdge>) {
  const { source, target, data, selected } = props;
  const { stage } = useParts();
  const flow = useFlow(stage.live, source, target);
  const { type, reach, forks } = data as WireData;
  const { path, fork } = route(props, reach, forks);
  return (
    <g className="pc-wire" data-type={type} data-flow={flow} data-selected={selected ? "" : undefined}>
      <path d={path} />
      {fork && <circle cx={fork.x} cy={fork.y} r={2.5} />}
      <path className="pc-grip" d={path} />
    </g>
  );
});

function useFlow(live: Live, source: string, target: string): Flow {
  const from = live.step(source);
  const to = live.step(target);
  const subscribe = useCallback(
    (changed: () => void) => {
      const stops = [from.subscribe(changed), to.subscribe(changed)];
      return () => stops.forEach((stop) => stop());
    },
    [from, to],
  );
  return useSyncExternalStore(subscribe, () => flowOf(from.get().status, to.get().status));
}

export function flowOf(source: Status | null, target: Status | null): Flow {
  if (source === null && target === null) return "plain";
  const given = source === "succeeded" || source === "cached";
  if (target === "running" && (given || source === "running")) return "live";
  return given && target !== "queued" && target !== "skipped" ? "done" : "idle";
}

/** The line that follows the pointer while an edge is drawn. */
export function JoinLine(props: ConnectionLineComponentProps<StepNode>) {
  const { stage } = useParts();
  const type = useSignal(stage.joining, (joining) =>
    joining ? dataType(joining.model.port(joining.from)?.type ?? "Any") : "any",
  );
  const { fromX, fromY, toX, toY, fromHandle, connectionStatus } = props;
  const [x, y, endX, endY] =
    fromHandle.type === "source" ? [fromX, fromY, toX, toY] : [toX, toY, fromX, fromY];
  const fit = connectionStatus === "invalid" ? "no" : "yes";
  return (
    <g className="pc-wire pc-joining" data-type={type} data-fit={fit}>
      <path d={`M${x} ${y}${curve(x, y, endX, endY)}`} />
    </g>
  );
}
