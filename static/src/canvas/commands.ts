/** What keys do, and the clipboard's events. */

import { moving, removing } from "./edits";
import { actionOf, isEdit, isTyping, type Action } from "./keyboard";
import type { Stage } from "./stage";
import { DOTS, SNAP, type Selection } from "./types";
import type { View } from "./view";
import { following, neighbour, type Direction } from "./walk";

/** Presses of an arrow key that follow each other this closely make one operation. */
const MOVES_TOGETHER = 250;
const LARGEST_PASTE = 10_000_000;

const STEPS: Record<Direction, [number, number]> = {
  left: [-1, 0],
  right: [1, 0],
  up: [0, -1],
  down: [0, 1],
};

export class Commands {
  private step: [number, number] = [0, 0];
  private moveTimer: ReturnType<typeof setTimeout> | undefined;
  private leaving = false;

  constructor(
    private readonly stage: Stage,
    private readonly view: View,
  ) {}

  readonly keyPressed = (event: KeyboardEvent): void => {
    this.view.host.removeAttribute("data-pointer");
    if (event.defaultPrevented || isTyping(event.target)) return;
    const target = event.target as Element;
    if (target.closest("[role='dialog'], [role='toolbar']")) return;
    const action = actionOf(event);
    if (!action || (this.stage.readonly && isEdit(action))) return;
    if (this.run(action)) event.preventDefault();
  };

  /** Does it; false leaves the key to the browser. */
  run(action: Action): boolean {
    const { stage, view } = this;
    const focused = view.focused();
    const { nodes } = stage.selection;
    if (action.do !== "move") this.flush();
    switch (action.do) {
      case "walk":
        return this.walk(focused, action.way);
      case "move":
        return this.move(action.way, action.by === "dots" ? DOTS : SNAP);
      case "step":
        return this.tab(focused, action.by);
      case "first":
      case "last":
        return this.focus(following(stage.model.get(), null, action.do === "first" ? 1 : -1));
      case "toggle":
        return this.toggle(focused);
      case "open":
        if (focused) stage.emit("open", { node: focused });
        return !!focused;
      case "rename":
        if (focused) stage.emit("request-rename", { node: focused });
        return !!focused;
      case "connect":
        if (focused) stage.joiner.set({ node: focused, from: null });
        return !!focused;
      case "remove":
        return this.remove(stage.selection);
      case "all":
        stage.select(stage.model.get().order, stage.edges.get().map((edge) => edge.id));
        stage.say(`${stage.model.get().nodes.size} nodes selected`);
        return true;
      case "escape":
        return this.escape(focused);
      case "duplicate":
        if (nodes.length) stage.emit("request-duplicate", { ...stage.selection, dx: 2 * DOTS, dy: 2 * DOTS });
        return true;
      case "undo":
      case "redo":
        stage.emit(action.do, null);
        return true;
      case "run":
        stage.emit("request-run", { mode: "run" });
        return true;
      case "run-step":
      case "run-from": {
        const node = focused ?? nodes[0];
        if (node) stage.emit("request-run", { mode: action.do === "run-from" ? "from" : "step", node });
        return !!node;
      }
      case "add":
        stage.emit("request-add", { ...this.middle(true), anywhere: true });
        return true;
      case "fit":
        view.fit();
        return true;
      case "fit-selection":
        view.fit(nodes);
        return true;
      case "reset-zoom":
        view.zoomTo(1);
        return true;
      case "zoom-in":
      case "zoom-out":
        view.zoomBy(action.do === "zoom-in" ? 1 : -1);
        return true;
    }
  }

  readonly copied = (event: ClipboardEvent): void => {
    const { stage } = this;
    const selection = stage.selection;
    const cut = event.type === "cut" && !stage.readonly;
    if (isTyping(event.target) || !selection.nodes.length) return;
    const clipboard = event.clipboardData;
    event.preventDefault();
    // The page knows what is in the nodes and may write it; what it leaves out is only their names.
    const mine = stage.emit("request-copy", { ...selection, cut, clipboard });
    if (mine) clipboard?.setData("text/plain", JSON.stringify({ dspex: selection }));
    stage.say(`${selection.nodes.length} ${plural(selection.nodes.length, "node")} copied`);
    if (cut) this.remove(selection);
  };

  readonly pasted = (event: ClipboardEvent): void => {
    if (isTyping(event.target) || this.stage.readonly) return;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!text.trim() || text.length > LARGEST_PASTE) return;
    event.preventDefault();
    this.stage.emit("request-paste", { text, ...this.middle(false) });
  };

  /** The middle of what is seen, on the level of what is selected; or `into` the container that is. What
   * lies there by chance says nothing about where somebody wants it. */
  private middle(into: boolean): { x: number; y: number; parent: string | null } {
    const { nodes } = this.stage.model.get();
    const selected = this.stage.selection.nodes.map((id) => nodes.get(id));
    const [only] = selected.length === 1 ? selected : [];
    const levels = new Set(selected.map((node) => node?.parent ?? null));
    const [level = null] = levels.size === 1 ? levels : [];
    return { ...this.view.centre(), parent: into && only?.container ? only.id : level };
  }

  private walk(focused: string | null, way: Direction): boolean {
    const model = this.stage.model.get();
    const next = focused === null ? following(model, null, 1) : neighbour(model, focused, way);
    if (next) this.focus(next);
    return true;
  }

  private focus(id: string | null): boolean {
    if (id) this.view.focus(id);
    return !!id;
  }

  /** Tab goes through the nodes in the order of flow, and leaves after the last. */
  private tab(focused: string | null, by: 1 | -1): boolean {
    if (this.leaving || (focused === null && by === -1)) {
      this.leaving = false;
      return false;
    }
    const next = following(this.stage.model.get(), focused, by);
    if (next) return this.focus(next);
    if (by === 1) return false;
    this.view.focusCanvas();
    return true;
  }

  /** First drops the selection, then steps out of the nodes; the next Tab leaves the canvas. */
  private escape(focused: string | null): boolean {
    const { stage, view } = this;
    if (stage.selection.nodes.length || stage.selection.edges.length) stage.select([]);
    else if (focused) {
      view.focusCanvas();
      this.leaving = true;
      stage.say("Press Tab to leave the graph");
    }
    return true;
  }

  private toggle(focused: string | null): boolean {
    if (!focused) return false;
    const { stage } = this;
    const nodes = new Set(stage.selection.nodes);
    const on = !nodes.delete(focused);
    if (on) nodes.add(focused);
    stage.select(nodes);
    stage.say(`${stage.model.get().title(focused)} ${on ? "selected" : "not selected"}`);
    return true;
  }

  private remove(selection: Selection): boolean {
    const { stage, view } = this;
    const model = stage.model.get();
    const operation = removing(model, selection);
    if (!operation) return false;
    const focused = view.focused();
    const next = focused && neighbour(model, focused, "left");
    stage.edit(operation);
    const { nodes, edges } = selection;
    const first = nodes.length === 1 && nodes[0] ? model.title(nodes[0]) : "";
    const count = nodes.length || edges.length;
    const many = `${count} ${plural(count, nodes.length ? "node" : "edge")}`;
    stage.say(`${first || many} removed`);
    // The focused element is gone; without this the focus would fall out of the canvas.
    if (next && stage.model.get().nodes.has(next)) view.focus(next);
    else view.focusCanvas();
    return true;
  }

  /** Nodes step at once; the operation waits until the key rests. */
  private move(way: Direction, by: number): boolean {
    const { stage } = this;
    const nodes = stage.selection.nodes;
    if (!nodes.length) return false;
    const [x, y] = STEPS[way];
    this.step = [this.step[0] + x * by, this.step[1] + y * by];
    const moving = new Set(nodes);
    const model = stage.model.get();
    const held = (id: string): boolean => {
      const parent = model.parentOf(id);
      return parent !== null && (moving.has(parent) || held(parent));
    };
    stage.nodes.set(
      stage.nodes.get().map((node) => {
        if (!moving.has(node.id) || held(node.id)) return node;
        const position = { x: node.position.x + x * by, y: node.position.y + y * by };
        // Held like a dragged node, so that an answer of the server does not put it back meanwhile.
        return { ...node, position, dragging: true };
      }),
    );
    clearTimeout(this.moveTimer);
    this.moveTimer = setTimeout(() => this.flush(), MOVES_TOGETHER);
    return true;
  }

  /** Says what the arrow keys have moved so far. */
  flush(): void {
    if (this.moveTimer === undefined) return;
    clearTimeout(this.moveTimer);
    this.moveTimer = undefined;
    const [x, y] = this.step;
    this.step = [0, 0];
    const { stage } = this;
    stage.nodes.set(stage.nodes.get().map((n) => (n.dragging ? { ...n, dragging: false } : n)));
    const model = stage.model.get();
    const inner = new Set(stage.selection.nodes.flatMap((id) => model.below(id)));
    const ids = stage.selection.nodes.filter((id) => !inner.has(id));
    const operation = moving(model, ids, x, y);
    stage.edit(operation);
    const first = ids[0];
    const place = first ? stage.model.get().rects.get(first) : undefined;
    if (place) stage.say(`Moved to ${place.x}, ${place.y}`);
  }
}

export function plural(count: number, word: string): string {
  return count === 1 ? word : `${word}s`;
}
