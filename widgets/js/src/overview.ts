// The room that an administrator opens first: totals, what needs attention, what is being done.

import { fill, h, icon } from "./dom.ts";
import { type Door, Problem } from "./door.ts";
import type { Health, Host, Machine, Operation, Page, Pool, Status } from "./model.ts";
import { operationList } from "./operations.ts";
import { detailOf, STATUSES, stateOf, stateOfHost, stateOfStatus } from "./states.ts";
import { texts } from "./texts.ts";
import { memory, when } from "./units.ts";
import { type Context, settled, type View } from "./view.ts";

const NEWEST = 5;
const DAY = 24 * 3600_000;

/** What the room shows, as it was read; null is what this person may not see. */
interface Facts {
  counts: [Status, number][];
  hosts: Host[] | null;
  pools: Pool[] | null;
  health: Health | null;
  failedMachines: Machine[];
  failed: Operation[];
  running: Operation[];
}

export function overview(context: Context): View {
  const totals = h("div", { class: "cv-totals" });
  const attention = h("ul", { class: "cv-attention" });
  const running = h("div");
  const error = h("p", { class: "cv-note", role: "status" }, texts.loading);
  const element = h(
    "div",
    { class: "cv-overview" },
    error,
    totals,
    h(
      "div",
      { class: "cv-columns" },
      h("section", {}, h("h2", {}, texts.attention), attention),
      h("section", {}, h("h2", {}, texts.running), running),
    ),
  );
  let last = "";
  let names = new Map<string, string>();

  async function read(): Promise<void> {
    try {
      const facts = await factsOf(context.door);
      error.textContent = "";
      const key = JSON.stringify(facts);
      if (key === last) return;
      last = key;
      names = await namesOf(context.door, [...facts.running, ...facts.failed], names);
      const had = element.contains(document.activeElement) ? document.activeElement?.textContent : null;
      fill(totals, ...tiles(facts));
      fill(attention, ...concerns(context, facts, names));
      fill(running, operationList(context, facts.running, names));
      // What was redrawn keeps the focus where it was.
      if (had) [...element.querySelectorAll("button")].find((each) => each.textContent === had)?.focus();
    } catch (failure) {
      error.textContent = (failure as Error).message;
    }
  }

  const again = settled(() => void read(), 700);
  const forget = context.events.listen({ event: again.call, reset: again.call, connection: () => undefined });
  void read();
  return {
    element,
    close: () => {
      forget();
      again.cancel();
    },
  };
}

async function factsOf(door: Door): Promise<Facts> {
  const counted = STATUSES.map(async (status): Promise<[Status, number]> => {
    const page = await door.ask<Page<Machine>>("GET", "machines", { status: [status], limit: 1 });
    return [status, page.total];
  });
  const operations = (status: string, limit: number) =>
    door.ask<Page<Operation>>("GET", "operations", { status: [status], limit });
  const [counts, hosts, pools, health, ill, failed, running] = await Promise.all([
    Promise.all(counted),
    allowed(door.ask<Page<Host>>("GET", "hosts")),
    allowed(door.ask<Page<Pool>>("GET", "pools")),
    allowed(door.ask<Health>("GET", "health/details")),
    door.ask<Page<Machine>>("GET", "machines", { status: ["failed"], limit: NEWEST, sort: "-created" }),
    operations("failed", NEWEST),
    operations("running", 20),
  ]);
  const recent = failed.items.filter((each) => Date.now() - new Date(each.created).getTime() < DAY);
  return {
    counts,
    hosts: hosts?.items ?? null,
    pools: pools?.items ?? null,
    health,
    failedMachines: ill.items,
    failed: recent,
    running: running.items,
  };
}

/** The answer, or null where this person may not see it. */
async function allowed<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Problem && (error.status === 403 || error.status === 503)) return null;
    throw error;
  }
}

async function namesOf(
  door: Door,
  operations: readonly Operation[],
  known: ReadonlyMap<string, string>,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const ids = new Set(operations.map((each) => each.subject).filter((each) => each.startsWith("machine/")));
  await Promise.all(
    [...ids].map(async (subject) => {
      const name = known.get(subject) ?? (await nameOf(door, subject.slice("machine/".length)));
      if (name) found.set(subject, name);
    }),
  );
  return found;
}

async function nameOf(door: Door, id: string): Promise<string | null> {
  try {
    return (await door.ask<Machine>("GET", `machines/${encodeURIComponent(id)}`)).name;
  } catch {
    return null; // it is gone by now: its id has to do
  }
}

function tiles(facts: Facts): HTMLElement[] {
  const all = facts.counts.reduce((sum, [, count]) => sum + count, 0);
  const states = facts.counts
    .filter(([, count]) => count > 0)
    .map(([status, count]) => {
      const { icon: shape, tone, text } = stateOfStatus(status);
      return h("li", {}, icon(shape, tone), `${count.toLocaleString("en")} ${text.toLowerCase()}`);
    });
  const found = [tile(texts.machines, all.toLocaleString("en"), h("ul", {}, ...states))];
  const { hosts, pools } = facts;
  if (hosts) {
    const silent = hosts.filter((host) => !host.alive).length;
    const note = h(
      "ul",
      {},
      h(
        "li",
        {},
        icon("●", "good"),
        `${hosts.length - silent} ${hosts.length - silent === 1 ? "answers" : "answer"}`,
      ),
      silent > 0 && h("li", {}, icon("?", "warn"), `${silent} ${silent === 1 ? "does" : "do"} not answer`),
    );
    found.push(tile(texts.hosts, String(hosts.length), note));
    found.push(meter(texts.cpus, sum(hosts, "vcpus_promised"), sum(hosts, "cpus"), String));
    found.push(meter(texts.memory, sum(hosts, "memory_promised_mib"), sum(hosts, "memory_mib"), memory));
  }
  if (pools) {
    const all = pools.reduce((total, pool) => total + pool.capacity_mib, 0);
    const free = pools.reduce((total, pool) => total + pool.available_mib, 0);
    found.push(meter(texts.poolSpace, all - free, all, memory));
  }
  return found;
}

function sum(
  hosts: readonly Host[],
  what: "vcpus_promised" | "cpus" | "memory_promised_mib" | "memory_mib",
): number {
  return hosts.reduce((total, host) => total + host[what], 0);
}

function tile(name: string, figure: string, note: HTMLElement): HTMLElement {
  return h("section", { class: "cv-tile" }, h("h2", {}, name), h("p", { class: "cv-figure" }, figure), note);
}

function meter(name: string, used: number, all: number, shown: (value: number) => string): HTMLElement {
  const label = texts.of(shown(used), shown(all));
  const bar = h("meter", {
    min: 0,
    max: Math.max(all, 1),
    high: all * 0.9,
    value: used,
    "aria-label": `${name}: ${label}`,
  });
  const percent = all > 0 ? `${Math.round((100 * used) / all)} %` : "0 %";
  return tile(name, percent, h("div", {}, bar, h("p", {}, label)));
}

function concerns(context: Context, facts: Facts, names: ReadonlyMap<string, string>): HTMLElement[] {
  const found: HTMLElement[] = [];
  for (const part of facts.health?.components ?? [])
    if (part.status !== "ok") found.push(concern("✖", "bad", part.name, part.detail));
  for (const host of facts.hosts ?? []) {
    const { icon: shape, tone, text } = stateOfHost(host);
    if (!host.alive) found.push(concern(shape, tone, `${host.name} ${text}`, host.reason));
  }
  for (const pool of facts.pools ?? [])
    if (pool.capacity_mib > 0 && pool.available_mib < 0.1 * pool.capacity_mib)
      found.push(concern("▲", "warn", `${pool.name}: ${memory(pool.available_mib)} left`, ""));
  for (const machine of facts.failedMachines) {
    const { icon: shape, tone, text } = stateOf(machine);
    found.push(
      concern(
        shape,
        tone,
        link(context, machine.id, `${machine.name}: ${text.toLowerCase()}`),
        detailOf(machine),
      ),
    );
  }
  for (const operation of facts.failed) {
    const name = names.get(operation.subject) ?? operation.subject;
    const id = operation.subject.startsWith("machine/") ? operation.subject.slice("machine/".length) : null;
    if (id && facts.failedMachines.some((machine) => machine.id === id)) continue; // said already
    const text = `${operation.action} ${name}, ${when(operation.created)}`;
    found.push(concern("✖", "bad", id ? link(context, id, text) : text, operation.error?.detail ?? ""));
  }
  if (found.length === 0) found.push(h("li", {}, icon("✔", "good"), texts.allWell));
  return found;
}

function concern(shape: string, tone: string, what: Node | string, why: string): HTMLElement {
  return h("li", {}, icon(shape, tone), h("span", {}, what, why && h("small", {}, why)));
}

function link(context: Context, id: string, text: string): HTMLElement {
  return h("button", { type: "button", class: "cv-link", onclick: () => context.openMachine(id) }, text);
}
