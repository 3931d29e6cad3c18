/** Drawing an edge without dragging: a list of ports, then of what the port may be joined to. */

import { useEffect, useId, useMemo, useRef, useState } from "react";
import { disconnecting, connecting } from "./edits";
import { useParts } from "./context";
import { Model } from "./model";
import { dataType, shortType } from "./ports";
import { Joining } from "./rules";
import { useSignal } from "./signal";
import type { Operation, PortRef, Side } from "./types";

interface Option {
  key: string;
  label: string;
  type: string;
  /** What stands behind the name: why not, or what else happens. */
  note: string;
  disabled: boolean;
  act: () => void;
}

/** More than this are found by typing. */
const SHOWN = 60;

export function Joiner() {
  const { stage, view } = useParts();
  const open = useSignal(stage.joiner);
  const there = useSignal(stage.model, (model) => !!open && model.nodes.has(open.node));
  if (!open || !there) return null;
  const close = () => {
    stage.joiner.set(null);
    view.elementOf(open.node)?.focus({ preventScroll: true });
  };
  return <JoinDialog key={open.node} node={open.node} from={open.from} close={close} />;
}

interface DialogProps {
  node: string;
  from: PortRef | null;
  close: () => void;
}

function JoinDialog({ node, from: start, close }: DialogProps) {
  const { stage, view } = useParts();
  const model = useSignal(stage.model);
  const [from, setFrom] = useState(start);
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  const list = useId();
  useEffect(() => field.current?.focus({ preventScroll: true }), [from]);

  const done = (operation: Operation | null, said: string) => {
    close();
    stage.edit(operation);
    stage.say(said);
  };
  const choose = (port: PortRef) => {
    setFrom(port);
    setWords("");
    setAt(0);
  };
  const options = useMemo(
    () => (from ? partners(model, from, done) : ownPorts(model, node, choose)),
    // `done` and `choose` only pass on to what never changes.
    [model, from, node],
  );
  const wanted = words.trim().toLowerCase();
  const found = options.filter((o) => `${o.label} ${o.note}`.toLowerCase().includes(wanted)).slice(0, SHOWN);
  const active = Math.min(at, found.length - 1);
  const title = from ? `Join ${model.title(from.node)}, ${from.port}` : `Join ${model.title(node)}`;

  const pressed = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((active + step + found.length) % Math.max(1, found.length));
    else if (event.key === "Enter") pick(found[active]);
    else if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key === "Backspace" && !words && from && !start) setFrom(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const pick = (option: Option | undefined) => {
    if (!option) return;
    if (option.disabled) stage.refused(option.note);
    else option.act();
  };

  const box = view.elementOf(node)?.getBoundingClientRect();
  const host = field.current?.closest("pipeline-canvas")?.getBoundingClientRect();
  return (
    <div
      className="pc-joiner"
      role="dialog"
      aria-label={title}
      ref={(element) => placeBy(element, box, host)}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) stage.joiner.set(null);
      }}
    >
      <p>{title}</p>
      <input
        ref={field}
        value={words}
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={found[active] ? `${list}-${active}` : undefined}
        aria-label={from ? "Find a port to join it to" : "Find a port of this node"}
        placeholder={from ? "Find a port to join it to" : "Find a port of this node"}
        onChange={(event) => {
          setWords(event.target.value);
          setAt(0);
        }}
        onKeyDown={pressed}
      />
      <ul role="listbox" id={list} aria-label={title}>
        {found.map((option, place) => (
          <li
            key={option.key}
            id={`${list}-${place}`}
            role="option"
            aria-selected={place === active}
            aria-disabled={option.disabled || undefined}
            data-type={option.type ? dataType(option.type) : undefined}
            ref={place === active ? (element) => element?.scrollIntoView({ block: "nearest" }) : undefined}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => pick(option)}
          >
            {option.type && <i />}
            <span>{option.label}</span>
            {option.type && <em>{shortType(option.type)}</em>}
            {option.note && <small>{option.note}</small>}
          </li>
        ))}
        {!found.length && <li className="pc-none">{words ? "No port of this name" : "There is no port"}</li>}
      </ul>
    </div>
  );
}

/** Below the node, or above where there is no room. */
function placeBy(element: HTMLElement | null, box: DOMRect | undefined, host: DOMRect | undefined): void {
  const canvas = element?.closest("pipeline-canvas")?.getBoundingClientRect() ?? host;
  if (!element || !canvas) return;
  const width = element.offsetWidth;
  const height = element.offsetHeight;
  const left = (box?.left ?? canvas.left + 12) - canvas.left;
  const below = (box?.bottom ?? canvas.top) - canvas.top + 6;
  const top = below + height > canvas.height ? canvas.height - height - 12 : below;
  element.style.left = `${Math.max(8, Math.min(left, canvas.width - width - 8))}px`;
  element.style.top = `${Math.max(8, top)}px`;
}

function ownPorts(model: Model, node: string, choose: (port: PortRef) => void): Option[] {
  const ports = (side: Side) =>
    model.ports(node, side).map((port): Option => {
      const end: PortRef = { node, port: port.name, side };
      const edges = model.edgesAt(end);
      const joined = edges.map((edge) =>
        side === "input" ? `from ${model.title(edge.source)}` : `to ${model.title(edge.target)}`,
      );
      const note = [side, ...joined].join(" · ");
      const act = () => choose(end);
      return { key: `${side}.${port.name}`, label: port.name, type: port.type, note, disabled: false, act };
    });
  return [...ports("output"), ...ports("input")];
}

/** Edges to take away, then ports that fit, then those that do not, with the reason. */
function partners(
  model: Model,
  from: PortRef,
  done: (operation: Operation | null, said: string) => void,
): Option[] {
  const joining = new Joining(model, from);
  const side: Side = from.side === "output" ? "input" : "output";
  const away = model.edgesAt(from).map((edge): Option => {
    const [node, port] =
      from.side === "output" ? [edge.target, edge.target_port] : [edge.source, edge.source_port];
    const label = `Remove the edge ${from.side === "output" ? "to" : "from"} ${model.title(node)}, ${port}`;
    const act = () => done(disconnecting(edge), "Edge removed");
    return { key: `away.${node}.${port}`, label, type: "", note: "", disabled: false, act };
  });
  const others = model.order
    .filter((id) => id !== from.node && model.parentOf(id) === model.parentOf(from.node))
    .flatMap((id) => model.ports(id, side).map((port) => ({ node: id, port: port.name, side, type: port.type })))
    .map((end): Option => {
      const refusal = joining.refusal(end);
      const old = refusal === null ? joining.replaced(end) : undefined;
      const note = refusal ?? (old ? `replaces ${model.title(old.source)}, ${old.source_port}` : "");
      const label = `${model.title(end.node)} · ${end.port}`;
      const act = () => done(connecting(joining, end), `Joined to ${model.title(end.node)}, ${end.port}`);
      return { key: `${end.node}.${end.port}`, label, type: end.type, note, disabled: refusal !== null, act };
    });
  const legal = others.filter((option) => !option.disabled);
  return [...away, ...legal, ...others.filter((option) => option.disabled)];
}
