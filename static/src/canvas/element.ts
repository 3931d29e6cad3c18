/** <pipeline-canvas>: a graph goes in as JSON, operations come out as events. It knows neither the
 * server nor the rest of the page.
 *
 *   <script type="application/json" id="graph">{"nodes": […], "edges": […]}</script>
 *   <pipeline-canvas data-source="graph" aria-label="Pipeline graph"></pipeline-canvas>
 *
 * `data-tidy` puts a Tidy button into its bar; `data-templates` is where an empty canvas leads. The events are in `types.ts` (`CanvasEvents`).
 */

import { createElement } from "react";
import { createRoot, type Root } from "react-dom/client";
import { Canvas } from "./canvas";
import "./canvas.css";
import { Commands } from "./commands";
import type { Parts } from "./context";
import { Gestures } from "./gestures";
import { readGraph } from "./model";
import { announced } from "./announce";
import { Stage } from "./stage";
import type { CanvasEvents, Graph, Mark, Selection, StepPatch } from "./types";
import { View } from "./view";

export class PipelineCanvas extends HTMLElement {
  private readonly stage = new Stage((name, detail) => this.emit(name, detail));
  private readonly view = new View(this.stage, this);
  private readonly commands = new Commands(this.stage, this.view);
  private readonly gestures = new Gestures(this.stage, this.view);
  private root: Root | null = null;
  private given = false;
  private readonly size = new ResizeObserver(() => this.draw());

  connectedCallback(): void {
    if (this.dataset.source && !this.given) this.readSource(this.dataset.source);
    this.stage.live.onChanges = (changes) => {
      const text = announced(changes, (id) => this.stage.model.get().title(id));
      if (text) this.stage.say(text);
    };
    this.addEventListener("keydown", this.commands.keyPressed);
    for (const name of ["copy", "cut"] as const) this.addEventListener(name, this.commands.copied);
    this.addEventListener("paste", this.commands.pasted);
    this.draw();
  }

  disconnectedCallback(): void {
    this.commands.flush();
    this.size.disconnect();
    this.removeEventListener("keydown", this.commands.keyPressed);
    for (const name of ["copy", "cut"] as const) this.removeEventListener(name, this.commands.copied);
    this.removeEventListener("paste", this.commands.pasted);
    this.root?.unmount();
    this.root = null;
    this.view.flow = null;
  }

  /** The graph as it is shown, with what the server has not answered yet. */
  get graph(): Graph {
    return this.stage.model.get().graph;
  }

  get selection(): Selection {
    return this.stage.selection;
  }

  /** Milliseconds between two paints of streams and figures; 20 unless told. */
  get paintEvery(): number {
    return this.stage.live.paintEvery;
  }

  set paintEvery(milliseconds: number) {
    this.stage.live.paintEvery = milliseconds;
  }

  /** Shows the server's graph; view and selection stay. `upTo` is the id of the last operation that
   * is in it: later ones stay on top until they are answered too. */
  update(graph: Graph, { upTo }: { upTo?: string } = {}): void {
    this.stage.update(readGraph(graph), upTo);
    this.given = true;
    this.draw();
  }

  /** Takes back one operation, which the server has refused. */
  refuse(operation: string): void {
    this.stage.refuse(operation);
  }

  /** What is new about nodes of the run that is shown. As often as it comes; it is painted ten
   * times a second. */
  status(patches: Record<string, StepPatch>): void {
    this.stage.live.status(patches);
  }

  /** A piece of text that a node has written into a field. */
  chunk(node: string, field: string, text: string): void {
    this.stage.live.chunk(node, field, text);
  }

  /** The run that is shown has ended: nothing waits any more. */
  endStatus(): void {
    this.stage.live.end();
  }

  /** Forgets the run that is shown. */
  clearStatus(): void {
    this.stage.live.clear();
  }

  /** Who else has which nodes selected, instead of what was said before. */
  presence(marks: Record<string, Mark>): void {
    this.stage.mark(marks);
  }

  /** Which nodes have a pinned output, instead of what was said before. */
  pins(nodes: string[]): void {
    this.stage.pinned.set(new Set(nodes));
  }

  select(ids: string[]): void {
    this.stage.select(ids);
  }

  /** Selects a node, brings it into sight and gives it the focus. */
  focusNode(id: string): void {
    this.view.focus(id);
  }

  /** Brings a node into sight with the least movement. */
  reveal(id: string): void {
    this.view.reveal(id);
  }

  /** Shows the whole graph, or some of its nodes. */
  fit(ids?: string[]): void {
    this.view.fit(ids);
  }

  /** A key that was pressed elsewhere on the page and is meant for the canvas, such as undo. */
  press(event: KeyboardEvent): void {
    this.commands.keyPressed(event);
  }

  /** Where on the canvas a new node goes that was not dropped anywhere: its middle. */
  centre(): { x: number; y: number } {
    return this.view.centre();
  }

  override focus(): void {
    this.view.focusCanvas();
  }

  /** Draws as soon as there is a graph to fit into a box; until then the element may be hidden. */
  private draw(): void {
    if (this.root || !this.given || !this.isConnected) return;
    const viewport = this.view.fitting();
    if (!viewport) return this.size.observe(this);
    this.size.disconnect();
    const { stage, view, gestures, commands } = this;
    const parts: Parts = { stage, view, gestures, commands };
    const label = this.getAttribute("aria-label") ?? "Pipeline graph";
    this.root = createRoot(this);
    this.root.render(createElement(Canvas, { parts, viewport, label, tidies: "tidy" in this.dataset }));
  }

  private readSource(id: string): void {
    const text = document.getElementById(id)?.textContent;
    if (!text) return;
    try {
      this.update(JSON.parse(text) as Graph);
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** In place of the graph: what is wrong with it, and the one thing that may help. */
  private fail(message: string): void {
    const alert = document.createElement("div");
    alert.className = "pc-error";
    alert.role = "alert";
    const title = document.createElement("h2");
    title.textContent = "This pipeline can't be drawn";
    const reason = document.createElement("p");
    reason.textContent = `${message} Nothing of it is lost: the file can be exported, and the page loaded again.`;
    const again = document.createElement("button");
    again.type = "button";
    again.className = "btn";
    again.textContent = "Load again";
    again.addEventListener("click", () => location.reload());
    alert.append(title, reason, again);
    this.replaceChildren(alert);
  }

  /** False when the page has prevented the default. */
  private emit<Name extends keyof CanvasEvents>(name: Name, detail: CanvasEvents[Name]): boolean {
    const options = { detail, bubbles: true, composed: true, cancelable: true };
    return this.dispatchEvent(new CustomEvent(name, options));
  }
}

if (!customElements.get("pipeline-canvas")) customElements.define("pipeline-canvas", PipelineCanvas);
