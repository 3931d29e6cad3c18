/** What tests of the page's modules stand on: a browser's stores and a server that answers as it is told.
 * Import it first: modules look for some of it when they are loaded. */

import type { Applied, Conflict, Edit, EditorNode, Operation, Refused } from "./types";

class Store {
  readonly #values = new Map<string, string>();

  getItem(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#values.set(key, value);
    // As in a browser, where keys are properties of the store.
    Object.defineProperty(this, key, { value, enumerable: true, configurable: true });
  }

  removeItem(key: string): void {
    this.#values.delete(key);
    Reflect.deleteProperty(this, key);
  }
}

/** Locks of pages that are alive, by name. */
export const locks = new Set<string>();

const fakes = {
  addEventListener: () => {},
  document: { querySelector: () => null },
  localStorage: new Store(),
  sessionStorage: new Store(),
  navigator: {
    platform: "Linux",
    locks: {
      query: async () => ({ held: [...locks].map((name) => ({ name })) }),
      request: async (name: string, _options: object, does: (lock: object | null) => unknown) => {
        if (locks.has(name)) return does(null);
        locks.add(name);
        return does({ name });
      },
    },
  },
};
for (const [name, value] of Object.entries(fakes)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

export type Sent = { id: string; base_revision?: number; operation?: Operation; undoes?: string };
type Says = Applied | Refused | number | "nothing";

/** A server: `answers` are given in turn; a number is a status, "nothing" is a network that is away. */
export class Server {
  readonly sent: Sent[] = [];
  private readonly answers: ((sent: Sent) => Says)[] = [];

  constructor() {
    globalThis.fetch = (async (_address: string, options: { body: string }) => {
      const sent = JSON.parse(options.body) as Sent;
      this.sent.push(sent);
      const says = this.answers.shift()?.(sent) ?? "nothing";
      if (says === "nothing") throw new TypeError("fetch failed");
      return typeof says === "number" ? new Response("", { status: says }) : Response.json(says);
    }) as unknown as typeof fetch;
  }

  says(...answers: (Says | ((sent: Sent) => Says))[]): void {
    this.answers.push(...answers.map((answer) => (typeof answer === "function" ? answer : () => answer)));
  }
}

export function applied(revision: number): (sent: Sent) => Applied {
  return ({ id, operation }) => ({ status: "applied", id, revision, operation: operation ?? named("undone") });
}

export function refused(revision: number, ...conflicts: Partial<Conflict>[]): (sent: Sent) => Refused {
  return ({ id }) => ({
    status: "refused",
    id,
    revision,
    code: conflicts.length ? "conflict" : "gone",
    message: "It is gone.",
    conflicts: conflicts.map((parts) => ({ ...CONFLICT, ...parts })),
  });
}

const CONFLICT: Conflict = { key: "n/a/label", yours: "Mine", theirs: "Theirs", revision: 1, author_id: 2, author: "Maya" };

export function named(label: string, node = "a"): Operation {
  return { op: "rename", node, label };
}

export function added(node: string): Operation {
  return { op: "add_node", node, kind: "predict", kind_version: 1 };
}

export function edited(id: string, base = 0): Edit {
  return { id, base, operation: named(id) };
}

export function editorNode(id: string, parts: Partial<EditorNode> = {}): EditorNode {
  return {
    id,
    kind: "predict",
    kindVersion: 1,
    title: id,
    label: "",
    kindTitle: "Predict",
    icon: "predict",
    group: "language model",
    parent: null,
    x: 0,
    y: 0,
    summary: "",
    backend: "auto",
    inputs: [],
    outputs: [],
    problems: 0,
    container: false,
    config: {},
    policy: {},
    ...parts,
  };
}

/** Lets everything go on that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
