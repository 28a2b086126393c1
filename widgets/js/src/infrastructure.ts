// The room of hosts and machines: the tree at the left, the table, and one machine beside it.

import { addHost } from "./addhost.ts";
import { bulkBar } from "./commands.ts";
import { fill, h } from "./dom.ts";
import { Problem } from "./door.ts";
import { hostPanel } from "./hostpanel.ts";
import { MachineList } from "./machinelist.ts";
import { machinePage } from "./machinepage.ts";
import type { Cluster, Host, Page } from "./model.ts";
import { newMachine } from "./newmachine.ts";
import { STATUSES, stateOfHost, stateOfStatus } from "./states.ts";
import { machineTable } from "./table.ts";
import { texts } from "./texts.ts";
import { type Branch, tree } from "./tree.ts";
import { type Context, settled, type View } from "./view.ts";

const ALL = "all";
const HOSTS = "hosts";
const CLUSTERS = "clusters";
const TYPING = 250;

/** The room; `first` is the machine that is open at once. */
export function infrastructure(context: Context, first: string | null): View {
  const list = new MachineList(context.door);
  const aside = h("div", { class: "cv-beside", hidden: true });
  let beside: View | null = null;
  let opened: string | null = null;
  let hostsHere: readonly Host[] = [];
  let chosen: string | null = null;

  const panel = hostPanel(context, () => void readHosts());
  const add = h(
    "button",
    { type: "button", hidden: true, onclick: () => addHost(context, () => void readHosts()) },
    texts.addHost.open,
  );
  const make = h(
    "button",
    {
      type: "button",
      onclick: () => void newMachine(context, hostsHere, chosen),
    },
    texts.newMachine.open,
  );
  const places = tree(texts.infrastructure, ALL, (id) => {
    if (id === HOSTS || id === CLUSTERS) return;
    const host = id.startsWith("host/") ? id.slice("host/".length) : null;
    const cluster = id.startsWith("cluster/") ? id.slice("cluster/".length) : null;
    chosen = host;
    panel.show(hostsHere.find((each) => each.id === host) ?? null);
    void list.ask({ host, cluster });
  });
  const table = machineTable(
    list,
    context.selection,
    (machine) => open(machine.id),
    () => opened,
  );
  const bulk = bulkBar(context, () => list.rows);
  const field = h("input", {
    type: "search",
    placeholder: texts.search,
    "aria-label": texts.search,
    autocomplete: "off",
    spellcheck: "false",
    "data-lm-suppress-shortcuts": "true",
  });
  const typed = settled(() => void list.ask({ search: field.value.trim() }), TYPING);
  field.addEventListener("input", typed.call);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") table.focus();
    event.stopPropagation();
  });
  const states = h(
    "select",
    {
      "aria-label": texts.stateFilter,
      onchange: () => void list.ask({ status: chosenStates(states.value) }),
    },
    h("option", { value: "" }, texts.anyState),
    ...STATUSES.map((status) =>
      h("option", { value: status }, `${stateOfStatus(status).icon} ${stateOfStatus(status).text}`),
    ),
  );
  const refresh = h("button", { type: "button", onclick: () => void list.reload() }, texts.refresh);
  const element = h(
    "div",
    { class: "cv-infrastructure" },
    h("nav", { class: "cv-places", "aria-label": texts.infrastructure }, places.element, make, add),
    h(
      "div",
      { class: "cv-list" },
      panel.element,
      h("div", { class: "cv-bar" }, field, states, refresh),
      bulk.element,
      table.element,
    ),
    aside,
  );
  element.addEventListener("keydown", (event) => {
    if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      field.focus();
    }
  });

  function open(id: string): void {
    if (opened === id) return;
    beside?.close();
    opened = id;
    beside = machinePage(context, id, close);
    fill(aside, beside.element);
    aside.hidden = false;
    context.opened(id);
  }

  function close(): void {
    beside?.close();
    beside = null;
    opened = null;
    aside.hidden = true;
    fill(aside);
    context.opened(null);
    table.focus();
  }

  async function readHosts(): Promise<void> {
    try {
      const [page, clusters] = await Promise.all([
        context.door.ask<Page<Host>>("GET", "hosts", {}),
        context.door.ask<Page<Cluster>>("GET", "clusters", {}),
      ]);
      hostsHere = page.items;
      add.hidden = false;
      places.show(branches(page.items, clusters.items));
      panel.show(hostsHere.find((each) => each.id === chosen) ?? null);
    } catch (error) {
      places.show([{ id: ALL, label: texts.myMachines }]);
      if (!(error instanceof Problem && error.status === 403)) context.toasts.fail((error as Error).message);
    }
  }

  const hosts = settled(() => void readHosts(), 1000);
  const forget = [
    list.watch(bulk.draw),
    context.selection.watch(bulk.draw),
    context.events.listen({
      event: (event) => {
        list.heard(event);
        if (/^(host|cluster)\./.test(event.type) || event.type === "machine.deleted") hosts.call();
      },
      reset: () => {
        void list.reload();
        hosts.call();
      },
      connection: () => undefined,
    }),
  ];
  bulk.draw();
  places.show([{ id: ALL, label: texts.allMachines }]);
  void readHosts();
  void list.reload();
  if (first) open(first);
  return {
    element,
    close: () => {
      for (const each of forget) each();
      for (const each of [typed, hosts]) each.cancel();
      beside?.close();
      table.close();
    },
  };
}

function chosenStates(value: string): (typeof STATUSES)[number][] {
  return STATUSES.filter((status) => status === value);
}

function branches(hosts: readonly Host[], clusters: readonly Cluster[]): Branch[] {
  const named = clusters.filter((cluster) => !cluster.default);
  const groups = named.map((cluster) => ({
    id: `cluster/${cluster.id}`,
    label: cluster.name,
    detail: String(cluster.machines),
  }));
  const children = hosts.map((host) => {
    const { icon, tone, text } = stateOfHost(host);
    return {
      id: `host/${host.id}`,
      label: host.name,
      detail: String(host.machines),
      mark: { icon, tone, text },
    };
  });
  return [
    { id: ALL, label: texts.allMachines },
    ...(groups.length
      ? [{ id: CLUSTERS, label: texts.clusters, detail: String(groups.length), children: groups }]
      : []),
    { id: HOSTS, label: texts.hosts, detail: String(hosts.length), children },
  ];
}
