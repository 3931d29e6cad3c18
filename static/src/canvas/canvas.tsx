/** The canvas itself: React Flow, and the parts around it. */

import {
  Background,
  BackgroundVariant,
  PanOnScrollMode,
  ReactFlow,
  ReactFlowProvider,
  SelectionMode,
  useStoreApi,
  type Viewport,
} from "@xyflow/react";
import { startTransition, useContext, useEffect, useState, type ReactNode } from "react";
import { FarContext, PartsContext, useParts, type Parts } from "./context";
import { JoinLine, WireView } from "./edge";
import type { WireEdge } from "./flow";
import { JoinHint } from "./hint";
import { Joiner } from "./joiner";
import { Minimap } from "./minimap";
import { FrameView, StepView } from "./node";
import { Picked } from "./picked";
import { useSignal } from "./signal";
import { EdgeSketch } from "./sketch";
import { Tools } from "./tools";
import { DOTS, SNAP } from "./types";
import { FAR, MAX_ZOOM, MIN_ZOOM } from "./view";

// React Flow draws everything anew when one of these is another object.
const NODE_TYPES = { step: StepView, frame: FrameView };
const EDGE_TYPES = { wire: WireView };
const GRID: [number, number] = [SNAP, SNAP];
const MOD = ["Meta", "Control"];
const MIDDLE_BUTTON = [1];
const NO_ATTRIBUTION = { hideAttribution: true };
const TOUCH = globalThis.matchMedia?.("(pointer: coarse)").matches ?? false;
/** More edges than these are drawn as one while nodes are dragged. */
const MANY_EDGES = 100;
const NO_EDGES: WireEdge[] = [];
const nothing = () => {};

interface CanvasProps {
  parts: Parts;
  viewport: Viewport;
  label: string;
  tidies: boolean;
}

export function Canvas({ parts, viewport, label, tidies }: CanvasProps) {
  return (
    <PartsContext value={parts}>
      <ReactFlowProvider>
        <Distance initial={viewport.zoom < FAR}>
          <Surface viewport={viewport} label={label} tidies={tidies} />
        </Distance>
      </ReactFlowProvider>
    </PartsContext>
  );
}

/** Tells all nodes whether they are far away. In a transition: hundreds of nodes get their details
 * while the wheel goes on turning. */
function Distance({ initial, children }: { initial: boolean; children: ReactNode }) {
  const store = useStoreApi();
  const [far, setFar] = useState(() => {
    // React Flow would measure every node and its ports in the page once they are drawn. Their sizes
    // are known (see measures.ts), and the sketch of a node has no ports to be measured. It keeps
    // the function that it finds when it is first drawn, so this can't wait for an effect.
    store.setState({ updateNodeInternals: nothing });
    return initial;
  });
  useEffect(
    () =>
      store.subscribe(({ transform }) => {
        const now = transform[2] < FAR;
        startTransition(() => setFar(now));
      }),
    [store],
  );
  return <FarContext value={far}>{children}</FarContext>;
}

function Surface({ viewport, label, tidies }: Omit<CanvasProps, "parts">) {
  const { stage, view, gestures } = useParts();
  const nodes = useSignal(stage.nodes);
  const edges = useSignal(stage.edges);
  const far = useContext(FarContext);
  const joining = useSignal(stage.joining, (value) => value !== null);
  const dragging = useSignal(stage.dragging);
  const sketched = far || (dragging && edges.length > MANY_EDGES);
  const editable = !stage.readonly;
  const count = `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}`;
  return (
    <ReactFlow
      className={joining ? "pc-canvas pc-busy" : "pc-canvas"}
      nodes={nodes}
      edges={sketched ? NO_EDGES : edges}
      nodeTypes={NODE_TYPES}
      edgeTypes={EDGE_TYPES}
      onNodesChange={stage.nodesChanged}
      onEdgesChange={stage.edgesChanged}
      onInit={(flow) => {
        view.flow = flow;
      }}
      defaultViewport={viewport}
      minZoom={MIN_ZOOM}
      maxZoom={MAX_ZOOM}
      onlyRenderVisibleElements
      proOptions={NO_ATTRIBUTION}
      aria-label={`${label}, ${count}`}
      tabIndex={0}
      // The keyboard is ours: see keyboard.ts. Nodes get the focus one after the other.
      disableKeyboardA11y
      nodesFocusable={false}
      edgesFocusable={false}
      deleteKeyCode={null}
      multiSelectionKeyCode={MOD}
      // Wheel pans, with Mod it zooms; a drag on the empty canvas selects, with Space it pans.
      panOnScroll
      panOnScrollMode={PanOnScrollMode.Free}
      zoomOnDoubleClick={false}
      panOnDrag={TOUCH ? true : MIDDLE_BUTTON}
      selectionOnDrag={!TOUCH}
      selectionMode={SelectionMode.Partial}
      onSelectionStart={stage.boxStarted}
      onSelectionEnd={stage.boxEnded}
      snapToGrid
      snapGrid={GRID}
      nodesDraggable={editable}
      nodesConnectable={editable}
      edgesReconnectable={editable}
      nodeDragThreshold={2}
      onNodeDragStart={gestures.dragStarted}
      onSelectionDragStart={gestures.dragStarted}
      onNodeDragStop={gestures.dragEnded}
      onSelectionDragStop={gestures.selectionDragEnded}
      reconnectRadius={12}
      connectOnClick={false}
      connectionRadius={18}
      connectionDragThreshold={3}
      connectionLineComponent={JoinLine}
      isValidConnection={gestures.mayJoin}
      onReconnect={nothing}
      onReconnectStart={gestures.edgePulled}
      onConnectStart={gestures.joinStarted}
      onConnectEnd={gestures.joinEnded}
      onDragOver={gestures.draggedOver}
      onDrop={gestures.dropped}
      onDoubleClick={gestures.doubleClicked}
      onPointerDownCapture={gestures.pressed}
    >
      <Background variant={BackgroundVariant.Dots} gap={DOTS} size={1.4} />
      {sketched && <EdgeSketch far={far} />}
      <Shield />
      <JoinHint />
      <Tools tidies={tidies} />
      <Picked tidies={tidies} />
      {nodes.length > 0 && <Minimap />}
      {!nodes.length && editable && <Empty />}
      <Joiner />
      <Said />
    </ReactFlow>
  );
}

function Shield() {
  const { stage } = useParts();
  return useSignal(stage.dragging) && <div className="pc-shield" />;
}

function Empty() {
  const { commands, view } = useParts();
  const { templates } = view.host.dataset;
  return (
    <div className="pc-empty">
      <h2>Nothing here yet</h2>
      <p>
        Drag a node from the palette, press <kbd>A</kbd>, or double-click where it should be.
      </p>
      <span>
        <button type="button" onClick={() => commands.run({ do: "add" })}>
          Add a node
        </button>
        {templates && <a href={templates}>Begin with a template</a>}
      </span>
    </div>
  );
}

function Said() {
  const { stage } = useParts();
  return (
    <div className="pc-said" role="status" aria-live="polite">
      {useSignal(stage.said)}
    </div>
  );
}
