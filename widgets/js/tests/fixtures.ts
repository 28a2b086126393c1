// A controller that answers as a test says, and machines.

import type { Door, Query } from "../src/door.ts";
import type { Machine, Page } from "../src/model.ts";

export function machine(id: string, more: Partial<Machine> = {}): Machine {
  return {
    id,
    name: id,
    owner: "alice",
    server_name: null,
    appliance: "default",
    appliance_title: "CernVM",
    flavor: "small",
    vcpus: 2,
    memory_mib: 1024,
    disk_mib: 8192,
    cluster: null,
    host: "local",
    hypervisor: null,
    acceleration: null,
    uuid: "8f14e45f-0000-5000-8000-000000000000",
    network: null,
    address: "10.112.0.5",
    mac: null,
    home: null,
    status: "running",
    target: "running",
    power: "on",
    unknown_since: null,
    progress: 100,
    timeline: [],
    error: null,
    console_tail: null,
    labels: {},
    notes: "",
    protected: false,
    lock: null,
    stored: false,
    moving_to: null,
    pending: null,
    actions: ["shutdown", "poweroff", "reboot", "delete"],
    revision: 1,
    created: "2026-03-01T12:00:00Z",
    changed: "2026-03-01T12:00:00Z",
    ...more,
  };
}

/** Serves `machines` in pages and remembers what it was asked. */
export class FakeDoor implements Door {
  open: Door["open"] = null;
  socket: Door["socket"] = null;
  asked: [method: string, path: string, query: Query, body: unknown][] = [];
  fails: Error | null = null;

  constructor(public machines: Machine[] = []) {}

  async ask<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<T> {
    this.asked.push([method, path, query, body]);
    if (this.fails) throw this.fails;
    if (method === "GET" && path === "machines") {
      const limit = Number(query.limit);
      const start = Number(query.cursor ?? 0);
      const end = start + limit;
      const found: Page<Machine> = {
        items: this.machines.slice(start, end),
        total: this.machines.length,
        next: end < this.machines.length ? String(end) : null,
        event_id: 0,
      };
      return found as T;
    }
    return { items: [], total: 0, next: null, event_id: 0 } as T;
  }
}

/** Wait until `condition` holds, by the clock of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 2000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`still not: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
