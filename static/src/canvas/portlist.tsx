/** The ports of a node, in two columns. */

import { Handle, Position } from "@xyflow/react";
import { memo } from "react";
import { useParts } from "./context";
import { isNameLong, rowsOf } from "./measures";
import { dataType, shortType } from "./ports";
import { useSignal } from "./signal";
import type { GraphNode, Port, Side } from "./types";

interface ListProps {
  node: GraphNode;
  /** One character a port: 1 is connected. */
  inputs: string;
  outputs: string;
}

export const Ports = memo(function Ports({ node, inputs, outputs }: ListProps) {
  const { stage } = useParts();
  // While an edge is drawn, which ports it may go to, as `side:1011`; nothing otherwise.
  const mask = useSignal(stage.joining, (joining) => joining?.mask(node.id) ?? "");
  const from = useSignal(stage.joining, (joining) =>
    joining?.from.node === node.id ? joining.from.port : "",
  );
  const rows = rowsOf(node);
  if (!rows.length) return null;
  const [side, legal = ""] = mask.split(":");
  const column = (own: Side, connected: string) => (
    <ul>
      {rows.map((row, at) => {
        const port = row[own];
        if (!port) return null;
        const typed = own === "input" ? row.inputType : row.outputType;
        const fit = fitOf(own, side, legal[at], from === port.name);
        return (
          <PortItem
            key={port.name}
            port={port}
            side={own}
            node={node.id}
            typed={typed}
            connected={connected[at] === "1"}
            fit={fit}
          />
        );
      })}
    </ul>
  );
  return (
    <div className="pc-ports">
      {column("input", inputs)}
      {column("output", outputs)}
    </div>
  );
});

type Fit = "yes" | "no" | undefined;

function fitOf(own: Side, side: string | undefined, legal: string | undefined, start: boolean): Fit {
  if (!side) return undefined;
  if (own !== side) return start ? undefined : "no";
  return legal === "1" ? "yes" : "no";
}

interface ItemProps {
  port: Port;
  side: Side;
  node: string;
  typed: boolean;
  connected: boolean;
  fit: Fit;
}

const PortItem = memo(function PortItem({ port, side, node, typed, connected, fit }: ItemProps) {
  const { gestures } = useParts();
  const input = side === "input";
  const handle = (
    <Handle
      type={input ? "target" : "source"}
      position={input ? Position.Left : Position.Right}
      id={port.name}
      onClick={() => gestures.portClicked({ node, port: port.name, side })}
    />
  );
  return (
    <li
      data-type={dataType(port.type)}
      data-off={connected ? undefined : ""}
      data-lost={port.lost ? "" : undefined}
      data-fit={fit}
      title={titleOf(port)}
    >
      {handle}
      <span className={isNameLong(port.name) ? "pc-long" : undefined}>{port.name}</span>
      {typed && !port.lost && <em>{shortType(port.type)}</em>}
    </li>
  );
});

function titleOf(port: Port): string {
  if (port.lost) return `${port.name} is no longer a port of this node. Remove the edge.`;
  const optional = port.required === false ? ", optional" : "";
  return `${port.name}: ${port.type}${optional}${port.many ? ", takes several edges" : ""}`;
}
