/** A node: what it is, what goes in and out, and how it fares in the run that is shown. */

import type { NodeProps } from "@xyflow/react";
import { memo, useContext, useLayoutEffect, useRef } from "react";
import { FarContext, useParts } from "./context";
import { cost, seconds, tokens } from "./figures";
import type { StepNode } from "./flow";
import { Glyph, glyphOf, Icon, STATUS_WORDS } from "./glyphs";
import type { Step } from "./live";
import { hasBadge, isSummaryLong, isTitleLong, sketched, summaryOf } from "./measures";
import { Ports } from "./portlist";
import { useSignal } from "./signal";
import type { GraphNode, Mark, Progress } from "./types";

export const StepView = memo(function StepView({ id, data, selected }: NodeProps<StepNode>) {
  const { stage } = useParts();
  const step = useSignal(stage.live.step(id));
  const mark = useSignal(stage.presence, (marks) => marks.get(id));
  const pinned = useSignal(stage.pinned, (nodes) => nodes.has(id));
  const far = useContext(FarContext);
  const { node, inputs, outputs } = data;
  return (
    <article
      className={far ? "pc-node pc-far" : "pc-node"}
      data-node={id}
      data-st={step.status ? glyphOf(step.status) : undefined}
      data-who={mark?.colour}
      aria-label={labelOf(node, step, mark)}
      aria-roledescription="node"
      data-selected={selected ? "" : undefined}
      role="group"
      tabIndex={-1}
    >
      {mark && <span className="pc-who">{mark.names}</span>}
      {pinned && <Pinned />}
      {far ? (
        <p>{sketched(node.title)}</p>
      ) : (
        <>
          <Header node={node} step={step} />
          <Ports node={node} inputs={inputs} outputs={outputs} />
          {streams(node, step) && <StreamBox id={id} live={step.status === "running"} />}
          <Footer id={id} problems={node.problems} step={step} />
        </>
      )}
    </article>
  );
});

/** A container: a frame with its ports on top and its body's nodes in it. */
export const FrameView = memo(function FrameView({ id, data, selected }: NodeProps<StepNode>) {
  const { stage } = useParts();
  const step = useSignal(stage.live.step(id));
  const mark = useSignal(stage.presence, (marks) => marks.get(id));
  const pinned = useSignal(stage.pinned, (nodes) => nodes.has(id));
  const far = useContext(FarContext);
  const { node, inputs, outputs } = data;
  return (
    <article
      className={far ? "pc-frame pc-far" : "pc-frame"}
      data-node={id}
      data-st={step.status ? glyphOf(step.status) : undefined}
      data-who={mark?.colour}
      aria-label={`${labelOf(node, step, mark)}, holds ${stage.model.get().body(id).length} nodes`}
      aria-roledescription="container"
      data-selected={selected ? "" : undefined}
      role="group"
      tabIndex={-1}
    >
      {mark && <span className="pc-who">{mark.names}</span>}
      {pinned && <Pinned />}
      {far ? (
        <p>{sketched(node.title)}</p>
      ) : (
        <>
          <Header node={node} step={step} timed />
          <Ports node={node} inputs={inputs} outputs={outputs} />
        </>
      )}
      <div className="pc-body" />
      {step.progress && <Progressed progress={step.progress} />}
    </article>
  );
});

/** How far a container has come, in the room below the nodes that it holds. */
function Progressed({ progress: { done, total, failed, text } }: { progress: Progress }) {
  return (
    <footer data-failed={failed ? "" : undefined}>
      {total > 0 && <progress value={done} max={total} aria-label="Progress" aria-valuetext={text} />}
      <span>{text}</span>
    </footer>
  );
}

function Pinned() {
  const says = "Its output is pinned";
  return (
    <span className="pc-pinned" title={says} aria-label={says} role="img">
      <Icon name="pin" />
    </span>
  );
}

function Header({ node, step, timed }: { node: GraphNode; step: Step; timed?: boolean }) {
  return (
    <>
      <header>
        <span className="pc-kind">
          <Icon name={node.icon} />
        </span>
        <b className={clipped("pc-title", isTitleLong(node))} title={node.title}>
          {node.title}
        </b>
        {timed && <Clock id={node.id} step={step} />}
        {hasBadge(node) && (
          <span className="pc-backend" data-be={node.backend}>
            {node.backend}
          </span>
        )}
        {node.problems > 0 && <Glyph name="warn" />}
        {step.status && <Glyph name={glyphOf(step.status)} />}
      </header>
      <p className={clipped("pc-summary", isSummaryLong(node))} title={summaryOf(node)}>
        {summaryOf(node)}
      </p>
    </>
  );
}

function Footer({ id, problems, step }: { id: string; problems: number; step: Step }) {
  const { status } = step;
  if (!status && !problems) return null;
  const warned = problems ? `${problems} ${problems === 1 ? "problem" : "problems"}` : "";
  if (!status) return <footer className="pc-problems">{warned}</footer>;
  const timed = status === "running" || (step.seconds !== null && status !== "queued");
  const word = status === "running" || status === "succeeded" ? "" : STATUS_WORDS[status];
  return (
    <footer>
      {word && <span>{word}</span>}
      {timed && <Clock id={id} step={step} />}
      {step.tokens !== null && <span>{tokens(step.tokens)}</span>}
      <span className="pc-end">{endOf(step, warned)}</span>
    </footer>
  );
}

function clipped(name: string, long: boolean): string {
  return long ? `${name} pc-long` : name;
}

function endOf(step: Step, warned: string): string {
  if (step.status === "running" && step.field) return `writing ${step.field}`;
  if (step.cost !== null) return cost(step.cost);
  return step.note ?? warned;
}

/** Seconds: while they run they are written by the painter, past React. */
function Clock({ id, step }: { id: string; step: Step }) {
  const { live } = useParts().stage;
  const shown = useRef<HTMLElement>(null);
  const running = step.status === "running";
  useLayoutEffect(() => {
    if (!running) return;
    return live.clock(id, (value) => {
      if (shown.current) shown.current.textContent = seconds(value);
    });
  }, [live, id, running]);
  if (running) return <b className="pc-time" ref={shown} key="running" />;
  return step.seconds === null ? null : <b className="pc-time">{seconds(step.seconds)}</b>;
}

function streams(node: GraphNode, step: Step): boolean {
  if (step.status === "running") return step.written || node.group === "language model";
  // What was written before a failure stays.
  return step.written && (step.status === "failed" || step.status === "cancelled");
}

/** The last lines of what a node writes. The box has its size before the first word. */
function StreamBox({ id, live }: { id: string; live: boolean }) {
  const { stage } = useParts();
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const stream = stage.live.stream(id);
    const element = box.current as HTMLDivElement;
    let length = 0;
    const append = (text: string) => {
      length += text.length;
      element.append(text);
    };
    const replace = (text: string) => {
      length = 0;
      element.replaceChildren();
      append(text);
    };
    stream.showOn({
      replace,
      // Old text is cut away seldom: the lines break anew when it is.
      append: (text) => (length > LONGEST ? replace(stream.tail) : append(text)),
    });
    return () => stream.showOn(null);
  }, [stage, id]);
  return (
    <div className="pc-stream" data-live={live ? "" : undefined} aria-hidden="true">
      <div ref={box} />
    </div>
  );
}

const LONGEST = 12_000;

function labelOf(node: GraphNode, step: Step, mark: Mark | undefined): string {
  const count = (ports: unknown[], word: string) =>
    `${ports.length} ${ports.length === 1 ? word : `${word}s`}`;
  return [
    node.title,
    node.title === node.kindTitle ? "" : node.kindTitle,
    step.status ? STATUS_WORDS[step.status] : "",
    node.problems ? count(Array(node.problems), "problem") : "",
    count(node.inputs, "input"),
    count(node.outputs, "output"),
    mark ? `selected by ${mark.names}` : "",
  ]
    .filter(Boolean)
    .join(", ");
}
