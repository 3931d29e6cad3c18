/** The edges from afar, and while nodes are dragged among many: all in one drawing, made by hand.
 *
 * React Flow gives every edge a drawing of its own, and the browser sorts each of them into layers at
 * every step of a drag; with hundreds in sight that takes longer than all else. None of them has to be
 * taken hold of meanwhile, and from afar they are too thin for it. */

import { ViewportPortal } from "@xyflow/react";
import { useLayoutEffect, useRef } from "react";
import { useParts } from "./context";
import { flowOf } from "./edge";
import type { StepNode, WireData, WireEdge } from "./flow";
import { portY } from "./measures";
import { route } from "./route";
import type { Stage } from "./stage";

const SVG = "http://www.w3.org/2000/svg";

export function EdgeSketch({ far }: { far: boolean }) {
  return (
    <ViewportPortal>
      <Lines far={far} />
    </ViewportPortal>
  );
}

function Lines({ far }: { far: boolean }) {
  const { stage } = useParts();
  const svg = useRef<SVGSVGElement>(null);
  useLayoutEffect(() => {
    const sketch = new Sketch(svg.current as SVGSVGElement, stage);
    sketch.draw();
    const stops = [
      stage.nodes.subscribe(sketch.draw),
      stage.edges.subscribe(sketch.draw),
      stage.live.watch(sketch.draw),
    ];
    return () => stops.forEach((stop) => stop());
  }, [stage]);
  return <svg ref={svg} className="pc-sketch" data-far={far ? "" : undefined} />;
}

interface Line {
  path: SVGPathElement;
  edge: WireEdge;
  ends: [StepNode | undefined, StepNode | undefined];
}

class Sketch {
  private readonly lines = new Map<string, Line>();

  constructor(
    private readonly svg: SVGSVGElement,
    private readonly stage: Stage,
  ) {}

  /** Draws what differs from before: a node that has not moved is the same object. */
  readonly draw = (): void => {
    const nodes = new Map(this.stage.nodes.get().map((node) => [node.id, node]));
    const edges = this.stage.edges.get();
    if (this.lines.size) this.forget(new Set(edges.map(({ id }) => id)));
    for (const edge of edges) this.drawLine(edge, nodes);
  };

  private forget(known: Set<string>): void {
    for (const [id, { path }] of this.lines) {
      if (known.has(id)) continue;
      path.remove();
      this.lines.delete(id);
    }
  }

  private drawLine(edge: WireEdge, nodes: Map<string, StepNode>): void {
    const source = nodes.get(edge.source);
    const target = nodes.get(edge.target);
    if (!source || !target || !edge.data) return;
    const line = this.lines.get(edge.id) ?? this.newLine(edge);
    const { live } = this.stage;
    const flow = flowOf(live.step(edge.source).get().status, live.step(edge.target).get().status);
    if (line.path.dataset.flow !== flow) line.path.dataset.flow = flow;
    // A frame that moves takes its body along, whose nodes stay the same objects.
    const still = line.ends[0] === source && line.ends[1] === target && !source.parentId;
    if (still && line.edge === edge) return;
    line.edge = edge;
    line.ends = [source, target];
    line.path.dataset.type = edge.data.type;
    line.path.toggleAttribute("data-selected", !!edge.selected);
    line.path.setAttribute("d", pathOf(edge.data, source, target, nodes));
  }

  private newLine(edge: WireEdge): Line {
    const path = document.createElementNS(SVG, "path");
    this.svg.append(path);
    const line: Line = { path, edge, ends: [undefined, undefined] };
    this.lines.set(edge.id, line);
    return line;
  }
}

function pathOf(
  { edge, reach, forks }: WireData,
  source: StepNode,
  target: StepNode,
  nodes: Map<string, StepNode>,
): string {
  const from = placeOf(source, nodes);
  const to = placeOf(target, nodes);
  const row = (ports: { name: string }[], name: string) => ports.findIndex((port) => port.name === name);
  const ends = {
    sourceX: from.x + (source.width ?? 0),
    sourceY: from.y + portY(row(source.data.node.outputs, edge.source_port)),
    targetX: to.x,
    targetY: to.y + portY(row(target.data.node.inputs, edge.target_port)),
  };
  return route(ends, reach, forks).path;
}

function placeOf(node: StepNode, nodes: Map<string, StepNode>): { x: number; y: number } {
  let { x, y } = node.position;
  for (let at = node; at.parentId !== undefined; ) {
    const frame = nodes.get(at.parentId);
    if (!frame) break;
    x += frame.position.x;
    y += frame.position.y;
    at = frame;
  }
  return { x, y };
}
