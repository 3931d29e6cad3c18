/** Figures with their units, as the house writes them: `0.62 s`, `4 ms`, `214 tok`, `$0.0043`. */

export function seconds(value: number): string {
  if (value < 0.01) return `${Math.round(value * 1000)} ms`;
  if (value < 1) return `${value.toFixed(2)} s`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A clock that runs: its width does not jump. */
export function elapsed(value: number): string {
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.floor(value);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function tokens(value: number): string {
  return `${value.toLocaleString("en-GB")} tok`;
}

export function cost(value: number): string {
  return `$${value.toFixed(value && value < 0.01 ? 4 : 2)}`;
}
