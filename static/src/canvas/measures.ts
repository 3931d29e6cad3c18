/** How large things are. Sizes come from the data, not from the page: all nodes, ports and edges have
 * their place before the first paint, and nothing has to be measured in the browser. */

import { shortType } from "./ports";
import type { GraphNode, Port } from "./types";

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** One row of ports: an input, an output or both, and whether there is room for their types. */
export interface Row {
  input: Port | undefined;
  output: Port | undefined;
  inputType: boolean;
  outputType: boolean;
}

export const MIN_WIDTH = 148;
export const MAX_WIDTH = 272;
const BORDER = 1;
const HEADER = 34;
const SUMMARY = 24;
const ROW = 20;
const PORTS_PADDING = 4;
const PORT_PADDING = 11;
/** Between the two columns of ports. */
const GAP = 8;
const FOOTER = 26;
/** From a node's top edge to the centre of its first port. */
const FIRST_PORT = BORDER + HEADER + SUMMARY + BORDER + PORTS_PADDING + ROW / 2;
/** The box that a language model writes into while it runs. */
export const STREAM = 57;
/** Between a frame's edge and the nodes in it. */
const FRAME_PADDING = 20;
const FRAME_BODY = 96;

// Mean widths of a character: a little generous, as fonts differ.
const TEXT_CHAR = 6.7;
const MONO_CHAR = 6.4;
const BADGE_CHAR = 6.4;
const LONG_NAME = 18;
const SKETCHED = 28;

export function portY(row: number): number {
  return FIRST_PORT + ROW * row;
}

export function rowsOf(node: GraphNode): Row[] {
  const count = Math.max(node.inputs.length, node.outputs.length);
  return Array.from({ length: count }, (_, at) => rowOf(node.inputs[at], node.outputs[at]));
}

function rowOf(input: Port | undefined, output: Port | undefined): Row {
  const plain = labelWidth(input, false) + GAP + labelWidth(output, false);
  const withOutput = plain + typeWidth(output);
  const withBoth = withOutput + typeWidth(input);
  const room = MAX_WIDTH - 2 * BORDER;
  return { input, output, inputType: withBoth <= room, outputType: withOutput <= room };
}

function labelWidth(port: Port | undefined, typed: boolean): number {
  if (!port) return 0;
  return 2 * PORT_PADDING + port.name.length * TEXT_CHAR + (typed ? typeWidth(port) : 0);
}

function typeWidth(port: Port | undefined): number {
  return port ? 4 + shortType(port.type).length * MONO_CHAR : 0;
}

export function widthOf(node: GraphNode): number {
  const rows = rowsOf(node).map(
    (row) => labelWidth(row.input, row.inputType) + labelWidth(row.output, row.outputType) + GAP,
  );
  const wanted = Math.max(headerWidth(node), summaryWidth(node), ...rows);
  return Math.ceil(Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, wanted)) / 4) * 4;
}

function headerWidth(node: GraphNode): number {
  const badge = hasBadge(node) ? 28 + node.backend.length * BADGE_CHAR : 0;
  const warning = node.problems ? 20 : 0;
  return 8 + 20 + 6 + titleWidth(node.title) + badge + warning + 6 + 14 + 8;
}

const NARROW = /[ijlIJ.,:;'|!()[\] ]/;
const SLIM = /[frt\-_"*/]/;
const WIDE = /[mwMW@%]/;

/** A title in 13 px semi-bold of a wide font: one that is too narrow would run into the badge. */
export function titleWidth(title: string): number {
  let width = 0;
  for (const char of title) {
    if (NARROW.test(char)) width += 4.9;
    else if (SLIM.test(char)) width += 6.5;
    else if (WIDE.test(char)) width += 13.3;
    else if (char > "\u2e80") width += 14;
    else width += char >= "A" && char <= "Z" ? 10.4 : 9.1;
  }
  return width;
}

function summaryWidth(node: GraphNode): number {
  return 34 + summaryOf(node).length * TEXT_CHAR + 8;
}

/** Whether a text may not fit: only such ones are clipped, as a clip costs the browser something at
 * every step of a drag. */
export function isTitleLong(node: GraphNode): boolean {
  return headerWidth(node) > MAX_WIDTH;
}

export function isSummaryLong(node: GraphNode): boolean {
  return summaryWidth(node) > MAX_WIDTH;
}

export function isNameLong(name: string): boolean {
  return name.length > LONG_NAME;
}

/** A title in the large letters of a sketch, which has room for two lines. */
export function sketched(title: string): string {
  return title.length > SKETCHED ? `${title.slice(0, SKETCHED - 1)}…` : title;
}

/** Control kinds belong to the engine: there is nothing to choose, so nothing to show. */
export function hasBadge(node: GraphNode): boolean {
  return node.backend !== "engine";
}

export function summaryOf(node: GraphNode): string {
  return node.summary ? `${node.kindTitle} · ${node.summary}` : node.kindTitle;
}

/** Height of what stands above the footer, or above a frame's body. */
export function headHeight(node: GraphNode): number {
  const rows = Math.max(node.inputs.length, node.outputs.length);
  return BORDER + HEADER + SUMMARY + (rows ? BORDER + 2 * PORTS_PADDING + ROW * rows : 0);
}

/** The node's box. Room for the footer is kept also while nothing is in it. */
export function sizeOf(node: GraphNode): { width: number; height: number } {
  return { width: widthOf(node), height: headHeight(node) + BORDER + FOOTER + BORDER };
}

/** The frame of a container: wide enough for its ports, and round all that it holds. */
export function frameOf(node: GraphNode, body: Rect[]): Rect {
  const head = headHeight(node);
  const left = Math.min(node.x, ...body.map((rect) => rect.x - FRAME_PADDING));
  const top = Math.min(node.y, ...body.map((rect) => rect.y - head - FRAME_PADDING));
  const right = Math.max(
    left + Math.max(widthOf(node), MAX_WIDTH),
    ...body.map((rect) => rect.x + rect.width + FRAME_PADDING),
  );
  const bottom = Math.max(
    top + head + FRAME_BODY,
    ...body.map((rect) => rect.y + rect.height + FRAME_PADDING),
  );
  return { x: left, y: top, width: right - left, height: bottom - top };
}

export function boundsOf(rects: Iterable<Rect>): Rect {
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (const rect of rects) {
    left = Math.min(left, rect.x);
    top = Math.min(top, rect.y);
    right = Math.max(right, rect.x + rect.width);
    bottom = Math.max(bottom, rect.y + rect.height);
  }
  return left > right
    ? { x: 0, y: 0, width: 0, height: 0 }
    : { x: left, y: top, width: right - left, height: bottom - top };
}
