/** The editor's page: joins the canvas, the inspector, the palette and the server. */

import { sizeOf } from "../canvas/measures";
import type { CanvasEvents } from "../canvas/types";
import { toast } from "../site/toasts";
import { clipOf, clipText, pasting, readClip } from "./clipboard";
import { dropRefusal, showRefusal } from "./conflicts";
import { Edits } from "./edits";
import { after, answered, freeId, freePlace, marked } from "./graph";
import { History } from "./history";
import { Inspector } from "./inspector";
import { Keeper } from "./kept";
import { keys } from "./keys";
import { joining, Palette, type Wanted } from "./palette";
import { panels } from "./panels";
import { showProblems } from "./problems";
import { SaveStateText } from "./savestate";
import { tidying } from "./tidy";
import {
  byId,
  type Applied,
  type Canvas,
  type Edit,
  type EditorGraph,
  type FirstState,
  type KindView,
  type Operation,
  type Problem,
  type Refused,
  type State,
} from "./types";
import { get, post } from "./wire";

class Editor {
  private readonly page = byId("editor");
  private readonly canvas = document.querySelector("pipeline-canvas") as Canvas;
  private readonly first = read<FirstState>("editor-state");
  private readonly name = byId<HTMLInputElement>("name");
  private readonly saveState = new SaveStateText(document.getElementById("save-state"));
  private base = read<EditorGraph>("graph");
  private problems: Problem[] = this.first.problems;
  private drawnUpTo = "";
  private selected: string[] = [];
  private readonly edits: Edits;
  private readonly history: History;
  private readonly inspector: Inspector;
  private readonly palette: Palette;

  constructor(keeper: Keeper) {
    const data = this.page.dataset;
    this.edits = new Edits(data.operations ?? "", keeper, this.first.me, this.first.revision, {
      applied: (edit, answer, foreign) => this.applied(edit, answer, foreign),
      refused: (edit, answer) => this.refused(edit, answer),
      state: (state) => this.saveState.show(state),
    });
    this.history = new History(this.edits, (canUndo, canRedo) => {
      (document.getElementById("undo") as HTMLButtonElement | null)?.toggleAttribute("disabled", !canUndo);
      (document.getElementById("redo") as HTMLButtonElement | null)?.toggleAttribute("disabled", !canRedo);
    });
    const addresses = { whole: data.inspector ?? "", node: data.node ?? "", check: data.check ?? "" };
    this.inspector = new Inspector(
      byId("inspector"),
      addresses,
      (operation) => this.edit(operation),
      (what) => (what === "remove" ? this.remove() : this.duplicate()),
      (node, part, field) => this.base.nodes.find((each) => each.id === node)?.[part][field],
    );
    this.palette = new Palette(
      this.first.kinds,
      (kind, wanted) => this.add(kind, wanted),
      () => this.shown(),
    );
  }

  start(): void {
    panels(this.page);
    this.listen();
    this.keys();
    showProblems(this.problems, (problem) => void this.goTo(problem));
    void this.inspector.show(null);
    if (!this.base.readonly) void this.edits.restore();
    // Others edit too: whoever comes back to the tab sees what is there.
    addEventListener("focus", () => void this.refresh());
    document.addEventListener("htmx:confirm", (event) => this.afterSaving(event as CustomEvent));
  }

  private listen(): void {
    this.on("operation", ({ id, operation }) => {
      this.history.note(this.edits.add(operation, { id, drawn: true }), operation);
    });
    this.on("selection", ({ nodes }) => this.select(nodes));
    this.on("open", ({ node }) => void this.inspector.show(node).then(() => this.inspector.focusLabel()));
    this.on("refused", ({ message }) => toast(message, "warn"));
    this.on("undo", () => this.history.undo());
    this.on("redo", () => this.history.redo());
    this.on("request-add", (wanted) =>
      wanted.kind ? this.palette.choose(wanted.kind, wanted) : this.palette.ask(wanted),
    );
    this.on("request-rename", ({ node }) => void this.rename(node));
    this.on("request-run", () => this.run());
    this.on("request-tidy", ({ nodes }) => this.tidy(nodes));
    this.on("request-duplicate", ({ nodes, dx, dy }) => this.duplicate(nodes, dx, dy));
    this.on("request-paste", ({ text, x, y, parent }) => this.paste(text, { at: { x, y }, parent }));
    this.canvas.addEventListener("request-copy", (event) => {
      const { nodes, clipboard } = (event as CustomEvent<CanvasEvents["request-copy"]>).detail;
      clipboard?.setData("text/plain", clipText(clipOf(this.shown(), nodes)));
      event.preventDefault(); // the canvas would write the names alone
    });
    document.getElementById("undo")?.addEventListener("click", () => this.history.undo());
    document.getElementById("redo")?.addEventListener("click", () => this.history.redo());
    this.name.addEventListener("change", () => {
      const name = this.name.value.trim();
      if (name) this.edit({ op: "describe", name });
      else this.name.value = this.first.name;
    });
    this.name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.name.blur();
    });
  }

  private on<Name extends keyof CanvasEvents>(
    name: Name,
    does: (detail: CanvasEvents[Name]) => void,
  ): void {
    this.canvas.addEventListener(name, (event) => does((event as CustomEvent<CanvasEvents[Name]>).detail));
  }

  private keys(): void {
    const can = (does: () => void) => () => (this.base.readonly ? undefined : does());
    keys({
      undo: can(() => this.history.undo()),
      redo: can(() => this.history.redo()),
      save: can(() => this.save()),
      run: () => this.run(),
      add: can(() => this.palette.ask({ ...this.canvas.centre(), parent: null })),
      rename: can(() => void this.rename(this.selected[0] ?? null)),
      remove: can(() => this.remove()),
      duplicate: can(() => this.duplicate()),
      toggleDrawer: () => byId("fold-drawer").click(),
      fit: () => this.canvas.fit(),
    });
  }

  // Editing

  /** An operation of the page's own; the canvas' own come as events and are drawn already. */
  private edit(operation: Operation): void {
    if (this.base.readonly) return;
    this.history.note(this.edits.add(operation), operation);
    this.draw();
  }

  private add(kind: KindView, wanted: Wanted | null): void {
    if (this.base.readonly) return;
    const graph = this.shown();
    const id = freeId(new Set(graph.nodes.map((node) => node.id)), kind.kind);
    const { x, y } = wanted ?? freePlace(graph, this.canvas.centre(), sizeOf(kind));
    const parent = wanted?.parent ?? null;
    const { kind_version, config } = kind;
    const adding: Operation = { op: "add_node", node: id, kind: kind.kind, kind_version, config, parent, position: [x, y] };
    const near = wanted?.near;
    const port = near && joining(graph, near, kind);
    if (!near || !port) this.edit(adding);
    else {
      const edge =
        near.side === "output"
          ? { source: near.node, source_port: near.port, target: id, target_port: port }
          : { source: id, source_port: port, target: near.node, target_port: near.port };
      this.edit({ op: "batch", operations: [adding, { op: "connect", ...edge }] });
    }
    this.canvas.focusNode(id);
  }

  private remove(): void {
    if (this.base.readonly || !this.selected.length) return;
    const operations = this.selected.map((node): Operation => ({ op: "remove_node", node }));
    const [only] = operations;
    this.edit(operations.length === 1 && only ? only : { op: "batch", operations });
    toast(`${operations.length === 1 ? "Node" : `${operations.length} nodes`} removed`, "ok", {
      label: "Undo",
      does: () => this.history.undo(),
    });
    this.canvas.select([]);
  }

  private duplicate(nodes = this.selected, dx = 40, dy = 40): void {
    this.put(pasting(clipOf(this.shown(), nodes), this.shown(), { dx, dy }));
  }

  private paste(text: string, place: { at: { x: number; y: number }; parent: string | null }): void {
    const clip = readClip(text);
    if (!clip) toast("What was copied is no part of a pipeline.", "warn");
    else this.put(pasting(clip, this.shown(), place));
  }

  private put(pasted: { operation: Operation; ids: string[] } | null): void {
    if (!pasted || this.base.readonly) return;
    this.edit(pasted.operation);
    this.canvas.select(pasted.ids);
  }

  private tidy(nodes: string[]): void {
    const operation = tidying(this.shown(), nodes);
    if (!operation) return;
    this.edit(operation);
    this.canvas.fit();
  }

  private async rename(node: string | null): Promise<void> {
    if (!node) return this.name.select();
    await this.inspector.show(node, this.onServer());
    this.inspector.focusLabel();
  }

  private save(): void {
    this.inspector.flush();
    void this.edits.settled().then(
      () => toast(`Saved. This is revision ${this.edits.revision}.`),
      () => {},
    );
  }

  private run(): void {
    this.inspector.flush();
    (document.getElementById("run") as HTMLButtonElement | null)?.click();
  }

  /** A request that is about the pipeline as it is on the page waits until the server has it all. */
  private afterSaving(event: CustomEvent<{ issueRequest: () => void }>): void {
    if (!(event.target as Element).closest("[data-after-saving], #run-form")) return;
    event.preventDefault();
    this.inspector.flush();
    const { issueRequest } = event.detail;
    this.edits.settled().then(issueRequest, (error: Error) => toast(error.message, "failed"));
  }

  // What the server says

  private applied(edit: Edit, answer: Applied, foreign: boolean): void {
    if (edit.drawn) this.drawnUpTo = edit.id;
    this.base = answered(this.base, answer, this.first.kinds);
    if (answer.problems) this.tellProblems(answer.problems);
    if (answer.name !== undefined) this.tellName(answer.name);
    this.draw();
    // What a run asks for is drawn by the server.
    const asks = answer.nodes?.some((node) => node.kind === "input" && !node.parent);
    if (asks) document.body.dispatchEvent(new CustomEvent("inputs-changed"));
    if (foreign) void this.reload();
    else if (edit.undoes) void this.inspector.refresh();
  }

  private refused(edit: Edit, answer: Refused): void {
    this.history.forget(edit.id);
    if (edit.drawn) this.canvas.refuse(edit.id);
    const place = byId("banners");
    showRefusal(place, edit, answer, (node) => this.titleOf(node), {
      useMine: () => this.edits.decide(edit.id, true),
      useTheirs: () => {
        this.edits.decide(edit.id, false);
        void this.reload();
      },
      keepCopy: () => void this.keepCopy(edit),
    });
    void this.reload();
  }

  private async keepCopy(edit: Edit): Promise<void> {
    const body = { base_revision: edit.base, operation: edit.operation };
    try {
      const answer = await post<{ url?: string; message?: string }>(this.page.dataset.copyWith ?? "", body);
      if (!answer.url) return toast(answer.message ?? "The copy could not be made.", "failed");
      const { url } = answer;
      dropRefusal(byId("banners"), edit.id);
      this.edits.decide(edit.id, false);
      toast("Your copy is saved.", "ok", { label: "Open", does: () => location.assign(url) });
    } catch (error) {
      toast((error as Error).message, "failed");
    }
  }

  /** Takes what is new since others edited; nothing else is asked of the server. */
  private async refresh(): Promise<void> {
    if (!this.edits.queue.length) await this.reload(`?since=${this.edits.revision}`);
  }

  private async reload(since = ""): Promise<void> {
    const state = await get<State>((this.page.dataset.graph ?? "") + since).catch(() => null);
    if (!state || state.revision < this.edits.revision) return;
    this.edits.revision = state.revision;
    this.base = state.graph;
    this.tellProblems(state.problems);
    this.tellName(state.name);
    this.draw();
    void this.inspector.refresh();
    if (!this.edits.queue.length && !this.edits.held.length) {
      this.saveState.show({ is: "saved", revision: state.revision });
    }
  }

  // Showing

  /** The server's graph with the page's own edits that it has not answered. The canvas adds its own. */
  private shown(): EditorGraph {
    const waiting = this.edits.queue.filter((edit) => edit.operation);
    return waiting.reduce((graph, edit) => after(graph, edit.operation as Operation, this.first.kinds), this.base);
  }

  private draw(): void {
    const own = this.edits.queue.filter((edit) => edit.operation && !edit.drawn);
    const graph = own.reduce((whole, edit) => after(whole, edit.operation as Operation, this.first.kinds), this.base);
    this.canvas.update(marked(graph, this.problems), { upTo: this.drawnUpTo });
  }

  private select(nodes: string[]): void {
    this.selected = nodes;
    if (nodes.length > 1) void this.inspector.several(nodes.length);
    else void this.inspector.show(nodes[0] ?? null, this.onServer());
  }

  /** When the server knows every node that is shown. */
  private onServer(): Promise<void> {
    const adds = this.edits.queue.some((edit) => edit.undoes || JSON.stringify(edit).includes('"add_node"'));
    return adds ? this.edits.settled() : Promise.resolve();
  }

  private async goTo(problem: Problem): Promise<void> {
    if (!problem.node) return;
    this.canvas.focusNode(problem.node);
    await this.inspector.show(problem.node);
    if (problem.field) this.inspector.focusField(problem.field.split(".")[0] ?? "");
  }

  private tellProblems(problems: Problem[]): void {
    this.problems = problems;
    showProblems(problems, (problem) => void this.goTo(problem));
  }

  private tellName(name: string): void {
    if (document.activeElement !== this.name) this.name.value = name;
    document.title = `${name} · DSPex`;
  }

  private titleOf(node: string): string {
    return this.base.nodes.find((each) => each.id === node)?.title ?? node;
  }
}

function read<Value>(id: string): Value {
  return JSON.parse(byId(id).textContent ?? "") as Value;
}

const owner = read<FirstState>("editor-state");
const pipeline = byId("editor").dataset.pipeline ?? "";
await customElements.whenDefined("pipeline-canvas");
new Editor(await Keeper.open(`dspex-edits:${owner.me}:${pipeline}:`)).start();
