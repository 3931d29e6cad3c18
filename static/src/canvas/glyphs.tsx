/** The small drawings: icons of kinds and tools, and the glyphs of status. */

import type { ReactElement } from "react";
import type { Status } from "./types";

const ICONS: Record<string, ReactElement> = {
  arrow: <path d="M3 8h10M9.5 4.5 13 8l-3.5 3.5" />,
  branch: (
    <>
      <circle cx="4" cy="3.5" r="1.5" />
      <circle cx="4" cy="12.5" r="1.5" />
      <circle cx="12" cy="5.5" r="1.5" />
      <path d="M4 5v6M12 7c0 2.5-4 2-6.5 4" />
    </>
  ),
  check: <path d="m3.5 8.5 3 3 6-7" />,
  code: <path d="m5.5 4.5-3.5 3.5 3.5 3.5M10.5 4.5 14 8l-3.5 3.5" />,
  cot: (
    <>
      <path d="M3 3.5h5M3 8h7M3 12.5h4" />
      <path d="m10 10.5 1.5 2 2.5-4" />
    </>
  ),
  data: (
    <>
      <rect x="2.5" y="3" width="11" height="10" rx="1.3" />
      <path d="M2.5 6.5h11M6.5 6.5V13" />
    </>
  ),
  docs: (
    <>
      <path d="M4 2.5h5l3 3v4M4 2.5v11h3" />
      <circle cx="10" cy="11" r="2" />
      <path d="m11.5 12.5 1.7 1.7" />
    </>
  ),
  pin: <path d="M6 2.5h4l-.5 5 2 2.5h-7l2-2.5zM8 10v4" />,
  filter: <path d="M2.5 4h11M4.5 8h7M6.5 12h3" />,
  fit: <path d="M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3" />,
  globe: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M2.5 8h11M8 2.5c-3.6 3.3-3.6 7.7 0 11M8 2.5c3.6 3.3 3.6 7.7 0 11" />
    </>
  ),
  graph: (
    <>
      <rect x="2" y="6" width="4" height="4" rx="1" />
      <rect x="10" y="2.5" width="4" height="4" rx="1" />
      <rect x="10" y="9.5" width="4" height="4" rx="1" />
      <path d="M6 8c2.5 0 1.5-3.5 4-3.5M6 8c2.5 0 1.5 3.5 4 3.5" />
    </>
  ),
  human: (
    <>
      <circle cx="8" cy="5" r="2.3" />
      <path d="M3.5 13.5c.5-2.7 2.2-4 4.5-4s4 1.3 4.5 4" />
    </>
  ),
  input: <path d="M9 3h3.5v10H9M2.5 8H9M6.5 5.5 9 8l-2.5 2.5" />,
  lm: (
    <>
      <rect x="4" y="4" width="8" height="8" rx="1.5" />
      <path d="M6.5 1.8V4M9.5 1.8V4M6.5 12v2.2M9.5 12v2.2M1.8 6.5H4M1.8 9.5H4M12 6.5h2.2M12 9.5h2.2" />
    </>
  ),
  loop: <path d="M4 5h7a2.5 2.5 0 0 1 0 6H5M6.5 2.5 4 5l2.5 2.5" />,
  map: <path d="M2.5 4h3M2.5 8h3M2.5 12h3M8 8h5.5M11 5.5 13.5 8 11 10.5" />,
  merge: <path d="M2.5 4h2c2 0 2 4 4 4h5M2.5 12h2c2 0 2-4 4-4M11 5.5 13.5 8 11 10.5" />,
  minus: <path d="M3 8h10" />,
  note: <path d="M3 3h10v6.5L9.5 13H3zM13 9.5H9.5V13" />,
  opt: <path d="M2.5 12.5 6 8.5l2.5 2L13.5 4M10.5 4h3v3" />,
  output: <path d="M7 3H3.5v10H7M6.5 8H13M10.5 5.5 13 8l-2.5 2.5" />,
  parallel: <path d="M2.5 8h2c2 0 2-4 4-4h4.5M4.5 8c2 0 2 4 4 4h4.5M11 2l2 2-2 2M11 10l2 2-2 2" />,
  plus: <path d="M8 3v10M3 8h10" />,
  predict: (
    <>
      <path d="M2.5 8h3M10.5 8h3" />
      <rect x="5.5" y="4.5" width="5" height="7" rx="1.3" />
    </>
  ),
  react: (
    <>
      <path d="M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.3h-2.3" />
      <path d="M8 6v2.3l1.5.9" />
    </>
  ),
  retrieve: (
    <>
      <ellipse cx="8" cy="4" rx="5" ry="1.8" />
      <path d="M3 4v8c0 1 2.2 1.8 5 1.8s5-.8 5-1.8V4M3 8c0 1 2.2 1.8 5 1.8S13 9 13 8" />
    </>
  ),
  search: (
    <>
      <circle cx="7" cy="7" r="4.2" />
      <path d="m10.2 10.2 3.3 3.3" />
    </>
  ),
  shield: (
    <>
      <path d="M8 2 3.5 3.8v3.7c0 3 1.8 5 4.5 6.5 2.7-1.5 4.5-3.5 4.5-6.5V3.8z" />
      <path d="m6 8 1.5 1.5L10.2 6.5" />
    </>
  ),
  sig: <path d="M3 12.5h10M5 9.5c2.5-1 1-6.5 3-6.5s-.5 6.5 3 6" />,
  switch: <path d="M2.5 8h3M5.5 8l4-4.5h4M5.5 8h8M5.5 8l4 4.5h4" />,
  template: <path d="M6 3c-1.5 0-2 .7-2 2v1.5C4 7.5 3.5 8 2.5 8 3.5 8 4 8.5 4 9.5V11c0 1.3.5 2 2 2M10 3c1.5 0 2 .7 2 2v1.5c0 1 .5 1.5 1.5 1.5-1 0-1.5.5-1.5 1.5V11c0 1.3-.5 2-2 2" />,
  tidy: (
    <>
      <rect x="2.5" y="2.5" width="4" height="4" rx="1" />
      <rect x="9.5" y="2.5" width="4" height="4" rx="1" />
      <rect x="9.5" y="9.5" width="4" height="4" rx="1" />
      <path d="M6.5 4.5h3M11.5 6.5v3" />
    </>
  ),
  tool: <path d="M10 2.5a3.5 3.5 0 0 0-3.2 4.9L2.8 11.5l1.7 1.7 4.1-4A3.5 3.5 0 0 0 13.4 6l-2 1.5-1.5-1.5L11.5 3.5A3 3 0 0 0 10 2.5z" />,
  trash: <path d="M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.5M9.2 7v3.5" />,
  copy: <path d="M5.5 5.5V3.2a.7.7 0 0 1 .7-.7h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7h-2.3M3.2 5.5h6.6a.7.7 0 0 1 .7.7v6.6a.7.7 0 0 1-.7.7H3.2a.7.7 0 0 1-.7-.7V6.2a.7.7 0 0 1 .7-.7z" />,
  x: <path d="m4 4 8 8M12 4l-8 8" />,
};

/** A kind's icon by name; one that is not known gets that of a plain step. */
export function Icon({ name, small }: { name: string; small?: boolean }) {
  return (
    <svg className={small ? "pc-i pc-small" : "pc-i"} viewBox="0 0 16 16" aria-hidden="true">
      {Object.hasOwn(ICONS, name) ? ICONS[name] : ICONS.predict}
    </svg>
  );
}

export type GlyphName = Exclude<Status, "succeeded"> | "ok" | "warn";

const GLYPHS: Record<GlyphName, ReactElement> = {
  queued: <circle cx="7" cy="7" r="5.3" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray="2.2 1.96" />,
  running: (
    <>
      <circle cx="7" cy="7" r="5.2" fill="none" stroke="currentColor" strokeOpacity=".28" strokeWidth="2" />
      <path d="M7 1.8a5.2 5.2 0 0 1 5.2 5.2" fill="none" stroke="currentColor" strokeWidth="2.2" strokeLinecap="round" />
    </>
  ),
  ok: (
    <>
      <circle cx="7" cy="7" r="6" fill="currentColor" />
      <path d="m4.3 7.3 1.9 1.9 3.5-4.2" className="pc-cut" />
    </>
  ),
  failed: (
    <>
      <path d="M4.3 1h5.4L13 4.3v5.4L9.7 13H4.3L1 9.7V4.3z" fill="currentColor" />
      <path d="m5 5 4 4M9 5 5 9" className="pc-cut" />
    </>
  ),
  warn: (
    <>
      <path d="M7 1.2 13.3 12.5H.7z" fill="currentColor" stroke="currentColor" strokeLinejoin="round" />
      <path d="M7 5v3.3M7 10.5v.01" className="pc-cut" />
    </>
  ),
  waiting: (
    <>
      <rect x="1" y="1" width="12" height="12" rx="2.5" fill="currentColor" />
      <path d="M5.3 4.5v5M8.7 4.5v5" className="pc-cut" />
    </>
  ),
  cached: (
    <>
      <circle cx="7" cy="7" r="5.3" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M7.6 3.6 5 7.3h1.8l-.4 3.1L9 6.7H7.2z" fill="currentColor" />
    </>
  ),
  cancelled: (
    <>
      <circle cx="7" cy="7" r="5.3" fill="none" stroke="currentColor" strokeWidth="1.6" />
      <path d="M3.4 10.6l7.2-7.2" stroke="currentColor" strokeWidth="1.6" />
    </>
  ),
  skipped: (
    <>
      <circle cx="7" cy="7" r="5.3" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M4.5 7h4.5M7.2 5 9.2 7l-2 2" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </>
  ),
};

export const STATUS_WORDS: Record<Status, string> = {
  queued: "Queued",
  running: "Running",
  succeeded: "Succeeded",
  failed: "Failed",
  skipped: "Skipped",
  cancelled: "Stopped",
  cached: "From cache",
  waiting: "Waiting for a person",
};

/** The name by which the stylesheet and the glyphs know a status. */
export function glyphOf(status: Status): GlyphName {
  return status === "succeeded" ? "ok" : status;
}

/** A sign of its own shape for every status. The word is in the node's label and its footer. */
export function Glyph({ name }: { name: GlyphName }) {
  return (
    <svg className="pc-st" data-st={name} viewBox="0 0 14 14" aria-hidden="true">
      {GLYPHS[name]}
    </svg>
  );
}
