/** The way an edge takes: a curve when it goes ahead; when it goes back, right angles through the
 * gutter between the rows of nodes. */

export interface Ends {
  sourceX: number;
  sourceY: number;
  targetX: number;
  targetY: number;
}

/** How far the two nodes reach above and below their ports: an edge that goes back gets round them. */
export interface Reach {
  sourceUp: number;
  sourceDown: number;
  targetUp: number;
  targetDown: number;
  /** What the source will grow by while it writes. */
  stream: number;
}

export interface Route {
  path: string;
  /** Where edges of one output part, if they run together first. */
  fork: { x: number; y: number } | null;
}

const RADIUS = 12;
const TRUNK = 14;
const STUB = 26;
const GUTTER = 20;
/** An edge that has less room than this ahead of it goes round. */
const ROOM = 0;

export function route(ends: Ends, reach: Reach, forks: boolean): Route {
  const { sourceX, sourceY, targetX, targetY } = ends;
  const ahead = targetX - sourceX;
  if (ahead < ROOM) return { path: back(ends, gutterOf(ends, reach)), fork: null };
  const trunk = forks && ahead > 3 * TRUNK ? TRUNK : 0;
  const start = sourceX + trunk;
  const path = `M${sourceX} ${sourceY}${trunk ? `H${start}` : ""}${curve(start, sourceY, targetX, targetY)}`;
  return { path, fork: trunk ? { x: start, y: sourceY } : null };
}

/** From the pen's place to an input; also the line that follows the pointer. */
export function curve(x: number, y: number, toX: number, toY: number): string {
  if (Math.abs(toY - y) < 1) return `L${toX} ${toY}`;
  const bend = Math.max(24, Math.abs(toX - x) / 2);
  return `C${x + bend} ${y} ${toX - bend} ${toY} ${toX} ${toY}`;
}

/** The height at which an edge goes back: beside its source, so that all edges of an output run
 * together; where there is no room, below both nodes. */
function gutterOf({ sourceY, targetY }: Ends, reach: Reach): number {
  const sourceTop = sourceY - reach.sourceUp;
  const sourceBottom = sourceY + reach.sourceDown;
  const targetTop = targetY - reach.targetUp;
  const targetBottom = targetY + reach.targetDown;
  if (targetTop - sourceBottom >= GUTTER) {
    return Math.min(sourceBottom + GUTTER + reach.stream, targetTop - GUTTER / 2);
  }
  if (sourceTop - targetBottom >= GUTTER) {
    return Math.max(sourceTop - GUTTER, targetBottom + GUTTER / 2);
  }
  return Math.max(sourceBottom, targetBottom) + GUTTER;
}

function back({ sourceX, sourceY, targetX, targetY }: Ends, gutter: number): string {
  const right = sourceX + STUB;
  const left = targetX - STUB;
  return [
    `M${sourceX} ${sourceY}`,
    ...corner(right, sourceY, "H", gutter - sourceY, -1),
    ...corner(right, gutter, "V", -1, gutter - sourceY),
    ...corner(left, gutter, "H", targetY - gutter, 1),
    ...corner(left, targetY, "V", 1, targetY - gutter),
    `H${targetX}`,
  ].join("");
}

/** A line to just before a corner, and the bend round it. `turn` is the way on, `came` the way of
 * the line before. */
function corner(x: number, y: number, along: "H" | "V", turn: number, came: number): string[] {
  const r = Math.min(RADIUS, Math.abs(along === "H" ? turn : came) / 2);
  if (along === "H") {
    const from = came < 0 ? x - r : x + r;
    return [`H${from}`, `Q${x} ${y} ${x} ${y + Math.sign(turn) * r}`];
  }
  const from = y - Math.sign(came) * r;
  return [`V${from}`, `Q${x} ${y} ${x + Math.sign(turn) * r} ${y}`];
}
