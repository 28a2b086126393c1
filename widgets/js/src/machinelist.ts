// The list of machines as the controller sorts, filters and searches it; loaded as far as somebody looked.

import type { Door } from "./door.ts";
import type { Happening, Machine, Page, Status } from "./model.ts";

export interface Wanted {
  search: string;
  status: readonly Status[];
  owner: string | null;
  host: string | null;
  cluster: string | null;
  sort: string;
}

const PAGE = 200;
const SETTLE = 800;

/** What the table shows. */
export class MachineList {
  rows: Machine[] = [];
  total = 0;
  loading = false;
  loaded = false;
  error: Error | null = null;
  wanted: Wanted = { search: "", status: [], owner: null, host: null, cluster: null, sort: "name" };

  private readonly watchers = new Set<() => void>();
  private places = new Map<string, number>();
  private next: string | null = null;
  private turn = 0;
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly door: Door) {}

  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  /** Ask for something else, from the top. */
  async ask(change: Partial<Wanted>): Promise<void> {
    this.wanted = { ...this.wanted, ...change };
    await this.load(0);
  }

  /** Ask for the same again, as far as it was loaded. */
  async reload(): Promise<void> {
    await this.load(this.rows.length);
  }

  /** Load at least up to row `index`. */
  async reach(index: number): Promise<void> {
    if (this.loading || this.next === null || index < this.rows.length) return;
    const turn = this.turn;
    this.loading = true;
    this.error = null;
    try {
      while (turn === this.turn && this.next !== null && this.rows.length <= index) {
        const page = await this.page(this.next);
        if (turn !== this.turn) return;
        this.take([...this.rows, ...page.items], page);
      }
    } catch (error) {
      if (turn === this.turn) this.error = error as Error;
    } finally {
      if (turn === this.turn) {
        this.loading = false;
        this.changed();
      }
    }
  }

  /** Take in what happened, without asking where the answer is known. */
  heard(event: Happening): void {
    if (!event.type.startsWith("machine.")) return;
    // The page that is on its way may be of before this.
    if (this.loading) this.settle();
    const id = event.subject.slice("machine/".length);
    const place = this.places.get(id);
    const shown = place === undefined ? undefined : this.rows[place];
    if (event.type === "machine.deleted") {
      if (!shown) return;
      this.rows = this.rows.filter((row) => row.id !== id);
      this.total -= 1;
      this.index();
      this.changed();
      return;
    }
    const machine = event.data as unknown as Machine;
    if (place === undefined || !shown) {
      this.settle();
      return;
    }
    if (machine.revision < shown.revision) return;
    this.rows[place] = machine;
    const moved = this.wanted.sort.endsWith("status") || this.wanted.status.length > 0;
    if (moved && machine.status !== shown.status) this.settle();
    this.changed();
  }

  /** Reload when it has been quiet for a moment. */
  private settle(): void {
    this.waiting ??= setTimeout(() => {
      this.waiting = undefined;
      void this.reload();
    }, SETTLE);
  }

  private async load(rows: number): Promise<void> {
    this.turn += 1;
    const turn = this.turn;
    this.loading = true;
    this.error = null;
    this.changed();
    try {
      let [items, page] = [[] as Machine[], await this.page(null)];
      items = page.items;
      while (turn === this.turn && items.length < rows && page.next !== null) {
        page = await this.page(page.next);
        items = [...items, ...page.items];
      }
      if (turn === this.turn) this.take(items, page);
    } catch (error) {
      if (turn === this.turn) this.error = error as Error;
    } finally {
      if (turn === this.turn) {
        this.loading = false;
        this.changed();
      }
    }
  }

  private page(cursor: string | null): Promise<Page<Machine>> {
    const { search, status, owner, host, cluster, sort } = this.wanted;
    return this.door.ask("GET", "machines", {
      search,
      status,
      owner,
      host,
      cluster,
      sort,
      limit: PAGE,
      cursor,
    });
  }

  private take(rows: Machine[], page: Page<Machine>): void {
    this.rows = rows;
    this.total = page.total;
    this.next = page.next;
    this.loaded = true;
    this.index();
    this.changed();
  }

  private index(): void {
    this.places = new Map(this.rows.map((row, place) => [row.id, place]));
  }

  private changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}
