// Which rows are chosen: with a click, with shift from the last one on, or from Python.

/** A set of ids that knows where it was last touched. */
export class Selection {
  private chosen = new Set<string>();
  private anchor: string | null = null;
  private readonly watchers = new Set<() => void>();

  get ids(): string[] {
    return [...this.chosen];
  }

  get size(): number {
    return this.chosen.size;
  }

  has(id: string): boolean {
    return this.chosen.has(id);
  }

  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  /** Choose a row or no longer; with `range`, all from the last touched one to it as that one is. */
  toggle(id: string, order: readonly string[], range: boolean): void {
    const [from, to] = [this.anchor === null ? -1 : order.indexOf(this.anchor), order.indexOf(id)];
    if (range && from >= 0 && to >= 0 && this.anchor !== null) {
      const on = this.chosen.has(this.anchor);
      for (const each of order.slice(Math.min(from, to), Math.max(from, to) + 1)) this.put(each, on);
    } else {
      this.put(id, !this.chosen.has(id));
      this.anchor = id;
    }
    this.changed();
  }

  /** Choose exactly these. */
  set(ids: Iterable<string>): void {
    const chosen = new Set(ids);
    if (chosen.size === this.chosen.size && [...chosen].every((id) => this.chosen.has(id))) return;
    this.chosen = chosen;
    this.anchor = null;
    this.changed();
  }

  private put(id: string, on: boolean): void {
    if (on) this.chosen.add(id);
    else this.chosen.delete(id);
  }

  private changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}
