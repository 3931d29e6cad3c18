/** The editor's page: joins the canvas, the inspector, the palette and the server. */

import type { CanvasEvents } from "../canvas/types";
import { toast } from "../site/toasts";
import { afterSaving } from "./aftersaving";
import { clipOf, clipText } from "./clipboard";
import { dropRefusal, showRefusal } from "./conflicts";
import { commandList, type Command } from "./commandlist";
import { Company } from "./company";
import { Edits, type Place } from "./edits";
import { after, answered, caughtUp, marked } from "./graph";
import { History } from "./history";
import { Inspector, keysOf } from "./inspector";
import { Keeper } from "./kept";
import { keys } from "./keys";
import { NodeEdits } from "./nodeedits";
import { OtherRuns } from "./otherruns";
import { Palette } from "./palette";
import { openTab, panels } from "./panels";
import { isPart, Parts } from "./parts";
import { handedOver, HistoryPanel, restore, titleOf, type PastRef } from "./past";
import { showProblems } from "./problems";
import { missingInput, RunButton, sayMissing } from "./runbutton";
import { Saved } from "./saved";
import { SaveStateText } from "./savestate";
import {
  byId,
  read,
  type Applied,
  type Canvas,
  type Caught,
  type Edit,
  type EditorGraph,
  type EditorNode,
  type FirstState,
  type Operation,
  type Problem,
  type Refused,
  type State,
} from "./types";
import { viewer } from "./viewer";
import { get, post } from "./wire";

/** What of an import is said beside it; the rest is more of the same. */
const MOST_REMARKS = 3;

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
  private readonly nodes = new NodeEdits({
    canvas: this.canvas,
    kinds: this.first.kinds,
    shown: () => this.shown(),
    selected: () => this.selected,
    edit: (operation) => this.edit(operation),
    undo: () => this.history.undo(),
  });
  private readonly parts = new Parts({
    canvas: this.canvas,
    inputs: this.page.dataset.stepInputs ?? "",
    pin: this.page.dataset.editPin ?? "",
    nodes: () => this.shown().nodes,
    selected: () => this.selected[0] ?? this.inspector.node,
    rest: () => this.rest(),
    rename: (node) => void this.rename(node),
    duplicate: () => this.nodes.duplicate(),
    remove: () => this.nodes.remove(),
  });
  private readonly history: History;
  private readonly inspector: Inspector;
  private readonly palette: Palette;
  private readonly past: HistoryPanel;
  private readonly company: Company;
  private readonly otherRuns = new OtherRuns(this.page.dataset.going ?? "");
  private catching = false;
  private behind = false;

  constructor(keeper: Keeper) {
    const data = this.page.dataset;
    this.edits = new Edits(data.operations ?? "", keeper, this.first.revision, {
      applied: (edit, answer, place) => this.applied(edit, answer, place),
      refused: (edit, answer) => this.refused(edit, answer),
      state: (state) => this.saveState.show(state),
    });
    this.history = new History(this.edits, (canUndo, canRedo) => {
      (document.getElementById("undo") as HTMLButtonElement | null)?.toggleAttribute("disabled", !canUndo);
      (document.getElementById("redo") as HTMLButtonElement | null)?.toggleAttribute("disabled", !canRedo);
    });
    const addresses = { whole: data.inspector ?? "", node: data.nodeForm ?? "", check: data.check ?? "" };
    this.inspector = new Inspector(
      byId("inspector"),
      addresses,
      (operation, base) => this.edit(operation, base),
      (what, version) => {
        if (what === "repin") void this.repin(version);
        else if (what === "remove") this.nodes.remove();
        else this.nodes.duplicate();
      },
      (node, part, field) => this.shown().nodes.find((each) => each.id === node)?.[part][field],
    );
    this.palette = new Palette(
      this.first.kinds,
      data.saved ?? "",
      (kind, wanted) => this.nodes.add(kind, wanted),
      () => this.shown(),
    );
    this.past = new HistoryPanel(data.history ?? "", (wanted) => void this.restore(wanted));
    this.company = new Company(this.first.me, this.canvas, {
      revision: (revision) => {
        if (revision === null || revision > this.edits.revision) void this.catchUp();
      },
      operation: ({ id, revision, operation }) => this.told(id, revision, operation),
      runs: () => this.otherRuns.lookSoon(),
    });
  }

  start(): void {
    panels(this.page);
    this.listen();
    this.keys();
    this.commands();
    showProblems(this.problems, (problem) => void this.goTo(problem));
    document.getElementById("add-saved")?.addEventListener("click", () => this.ask(true));
    void this.inspector.show(null);
    if (!this.base.readonly) void this.edits.restore();
    // Others edit too: whoever comes back to the tab sees what is there.
    addEventListener("focus", () => {
      void this.catchUp();
      void this.inspector.lookAgain();
    });
    new RunButton(() => this.inspector.ran()).start();
    if ("live" in this.page.dataset) {
      this.company.join(this.page.dataset.pipeline ?? "", this.page.dataset.project ?? "");
      this.otherRuns.start();
    }
    const restored = handedOver(this.page.dataset.pipeline ?? "");
    if (restored) this.restored(restored.id, restored.title);
    document.addEventListener("published", (event) => this.published(event as CustomEvent));
    document.addEventListener("program-imported", (event) => this.imported(event as CustomEvent));
    this.parts.start(); // before what holds a run back: that sends it again by itself
    afterSaving({ rest: () => this.rest(), stops: (source) => this.lacksInput(source) });
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
    this.on("request-run", ({ mode, node }) => {
      if (mode === "run") return this.run();
      this.inspector.flush();
      this.parts.run(mode === "step" ? "only" : "from", node ?? null);
    });
    this.on("request-tidy", ({ nodes }) => this.nodes.tidy(nodes));
    this.on("request-duplicate", ({ nodes, dx, dy }) => this.nodes.duplicate(nodes, dx, dy));
    this.on("request-paste", ({ text, x, y, parent }) => this.nodes.paste(text, { at: { x, y }, parent }));
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

  private commands(): void {
    const { readonly } = this.base;
    const pressed = (id: string) => () => document.getElementById(id)?.click();
    const all: (Command & { edits?: boolean })[] = [
      { title: "Add a node", keys: "A", does: () => this.ask(), edits: true },
      { title: "Run", keys: "Ctrl ↵", does: () => this.run() },
      { title: "Run from here", keys: "⇧ Ctrl ↵", does: () => this.parts.run("from") },
      { title: "Run to here", keys: "", does: () => this.parts.run("to") },
      { title: "Run this step", keys: "⇧ ↵", does: () => this.parts.run("only") },
      { title: "Edit inputs and run this step", keys: "", does: () => this.parts.run("edited") },
      { title: "Pin what the node gives", keys: "", does: () => this.parts.run("pin") },
      { title: "Stop the run", keys: "", does: pressed("stop") },
      { title: "Publish", keys: "", does: pressed("publish"), edits: true },
      { title: "Import a DSPy program", keys: "", does: pressed("import-program"), edits: true },
      { title: "History", keys: "", does: () => this.past.toggle(true) },
      { title: "Tidy layout", keys: "", does: () => this.nodes.tidy([]), edits: true },
      { title: "Fit to view", keys: "1", does: () => this.canvas.fit() },
      { title: "Rename", keys: "F2", does: () => void this.rename(this.selected[0] ?? null), edits: true },
      { title: "Undo", keys: "Ctrl Z", does: () => this.history.undo(), edits: true },
      { title: "Redo", keys: "⇧ Ctrl Z", does: () => this.history.redo(), edits: true },
      { title: "Show problems", keys: "", does: () => openTab("problems") },
      { title: "Fold the run panel", keys: "J", does: pressed("fold-drawer") },
    ];
    commandList(all.filter(({ edits }) => !(edits && readonly)));
  }

  private ask(saved = false): void {
    this.palette.ask({ ...this.canvas.centre(), parent: null, anywhere: true, saved });
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
      add: can(() => this.ask()),
      rename: can(() => void this.rename(this.selected[0] ?? null)),
      remove: can(() => this.nodes.remove()),
      duplicate: can(() => this.nodes.duplicate()),
      toggleDrawer: () => byId("fold-drawer").click(),
      fit: () => this.canvas.fit(),
    });
  }

  // Editing

  /** An operation of the page's own; the canvas' own come as events and are drawn already. */
  private edit(operation: Operation, base?: number): void {
    if (this.base.readonly) return;
    this.history.note(this.edits.add(operation, { base }), operation);
    this.draw();
  }

  /** The node that is shown runs another version of its pipeline. */
  private async repin(version: string): Promise<void> {
    const node = this.inspector.node;
    if (!node || this.base.readonly) return;
    try {
      const { config } = await new Saved(this.page.dataset.saved ?? "").kind(version);
      const fields = Object.entries(config);
      const operations = fields.map(([field, value]): Operation => ({ op: "set_config", node, field, value }));
      this.edit({ op: "batch", operations });
      this.canvas.focusNode(node); // the button goes
      await this.edits.settled();
      await this.inspector.refresh();
    } catch (error) {
      toast((error as Error).message, "failed");
    }
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

  /** What has to be sent before anything can be done with the pipeline as it is on the page. */
  private rest(): Promise<void> | null {
    const sent = () => (this.edits.queue.length ? this.edits.settled() : null);
    return this.inspector.settle()?.then(() => sent() ?? undefined) ?? sent();
  }

  /** A run that lacks an input does not leave. */
  private lacksInput(source: HTMLElement): boolean {
    const missing = source.id === "run-form" && !isPart() ? missingInput(this.shown().nodes) : null;
    if (!missing) return false;
    openTab("run");
    sayMissing(missing);
    return true;
  }

  private async restore(wanted: PastRef): Promise<void> {
    try {
      await this.rest();
    } catch (error) {
      return toast((error as Error).message, "failed");
    }
    const id = await restore(this.page.dataset.restore ?? "", this.edits.revision, wanted);
    if (!id) return;
    this.restored(id, titleOf(wanted));
    await this.catchUp();
  }

  private restored(id: string, title: string): void {
    this.history.note(id, { op: "batch", operations: [] });
    toast(`The draft is as in ${title} again`, "ok", { label: "Undo", does: () => this.history.undo() });
  }

  private published(event: CustomEvent<{ number: number; anew: boolean }>): void {
    const { number, anew } = event.detail;
    byId("next-version").textContent = anew ? `v${number + 1}` : byId("next-version").textContent;
    toast(anew ? `v${number} is published.` : `Nothing is new since v${number}.`, anew ? "ok" : "warn");
    this.past.refresh();
  }

  private imported(event: CustomEvent<{ id: string; nodes: string[]; ignored: string[] }>): void {
    const { id, nodes, ignored } = event.detail;
    this.history.note(id, { op: "batch", operations: [] });
    const names = nodes.map((node) => this.titleOf(node)).join(", ");
    toast(`The program is in ${names}`, "ok", { label: "Undo", does: () => this.history.undo() });
    for (const each of ignored.slice(0, MOST_REMARKS)) toast(each, "warn");
    void this.catchUp();
  }

  // What others do

  private told(id: string, revision: number, operation: Operation | null): void {
    if (revision <= this.edits.revision || this.edits.isMine(id, revision)) return;
    // Where nodes lie is all there is to know of a move; the rest comes with its ports and problems.
    const next = revision === this.edits.revision + 1 && !this.catching;
    if (operation?.op !== "move_nodes" || !next) return void this.catchUp();
    this.base = after(this.base, operation, this.first.kinds);
    this.at(revision);
    this.draw();
  }

  /** Takes what was done since; what comes in the meantime is asked for afterwards. */
  private async catchUp(): Promise<void> {
    if (this.catching) {
      this.behind = true;
      return;
    }
    this.catching = true;
    try {
      do {
        this.behind = false;
        const since = this.edits.revision;
        const address = `${this.page.dataset.operations}?since=${since}`;
        const caught = await get<Caught | State>(address).catch(() => null);
        if (!caught || caught.revision <= this.edits.revision) continue;
        if ("graph" in caught) this.replaceBy(caught);
        else this.take(caught);
      } while (this.behind);
    } finally {
      this.catching = false;
    }
  }

  private take(caught: Caught): void {
    const since = this.edits.revision;
    const { name, problems, nodes, revision } = caught;
    this.base = caughtUp(this.base, caught, since, this.first.kinds);
    this.at(revision);
    this.tellProblems(problems);
    this.tellName(name);
    this.draw();
    this.tellInputs(nodes);
    const foreign = caught.operations.filter((each) => each.revision > since && !this.edits.isMine(each.id, each.revision));
    void this.inspector.changed(foreign.map((each) => each.operation), since);
    this.past.refresh();
  }

  /** The page shows this revision. */
  private at(revision: number): void {
    this.edits.revision = revision;
    if (!this.edits.queue.length && !this.edits.held.length) this.saveState.show({ is: "saved", revision });
  }

  // What the server says

  private applied(edit: Edit, answer: Applied, place: Place): void {
    if (edit.drawn) this.drawnUpTo = edit.id;
    // What the page has already might be older than what has come since.
    if (place !== "known") this.base = answered(this.base, answer, this.first.kinds);
    if (place === "next" && answer.problems) this.tellProblems(answer.problems);
    if (place === "next" && answer.name !== undefined) this.tellName(answer.name);
    this.draw();
    this.tellInputs(answer.nodes);
    if (place === "ahead") void this.catchUp();
    else this.past.refresh();
    if (edit.undoes) void this.inspector.refresh();
    else if (keysOf(answer.operation, this.inspector.node).some((key) => key.startsWith("config/"))) {
      const own = this.problems.filter(({ node }) => node === this.inspector.node);
      this.inspector.lookAround(own.map(({ field }) => field?.split(".")[0] ?? ""));
    }
  }

  /** What a run asks for is drawn by the server. */
  private tellInputs(nodes: EditorNode[] | undefined): void {
    const asks = nodes?.some((node) => node.kind === "input" && !node.parent);
    if (asks) document.body.dispatchEvent(new CustomEvent("inputs-changed"));
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
    }, this.first.me);
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

  private async reload(): Promise<void> {
    const state = await get<State>(this.page.dataset.graph ?? "").catch(() => null);
    if (state && state.revision >= this.edits.revision) this.replaceBy(state);
  }

  private replaceBy(state: State): void {
    this.base = state.graph;
    this.at(state.revision);
    this.tellProblems(state.problems);
    this.tellName(state.name);
    this.draw();
    this.tellInputs(state.graph.nodes);
    void this.inspector.refresh();
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
    this.company.select(nodes[0] ?? null);
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

const page = byId("editor");
const { me } = read<FirstState>("editor-state");
await customElements.whenDefined("pipeline-canvas");
if ("past" in page.dataset) viewer(page);
else new Editor(await Keeper.open(`dspex-edits:${me}:${page.dataset.pipeline}:`)).start();
