/** A value that tells when it changes: the smallest store that React can subscribe to. */

import { useSyncExternalStore } from "react";

export class Signal<Value> {
  private readonly listeners = new Set<() => void>();

  constructor(private value: Value) {}

  readonly get = (): Value => this.value;

  set(value: Value): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of [...this.listeners]) listener();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}

/** The value, or what `select` makes of it: a component is drawn anew only when that differs. */
export function useSignal<Value>(signal: Signal<Value>): Value;
export function useSignal<Value, Part>(signal: Signal<Value>, select: (value: Value) => Part): Part;
export function useSignal<Value>(signal: Signal<Value>, select?: (value: Value) => unknown) {
  const snapshot = select ? () => select(signal.get()) : signal.get;
  return useSyncExternalStore(signal.subscribe, snapshot);
}
