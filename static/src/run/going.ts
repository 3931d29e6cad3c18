/** Which steps of a run go on, by node: a map runs the node of its body once for each item. */

export class Going {
  private readonly steps = new Map<string, Set<string>>();

  begin(node: string, path: string): void {
    const paths = this.steps.get(node);
    if (paths) paths.add(path);
    else this.steps.set(node, new Set([path]));
  }

  /** The steps of the node that go on, the one that began first before the others. */
  of(node: string): string[] {
    return [...(this.steps.get(node) ?? [])];
  }

  /** Whether the node still runs for other items when this step has ended. */
  end(node: string, path: string): boolean {
    const paths = this.steps.get(node);
    paths?.delete(path);
    return !!paths?.size;
  }
}
