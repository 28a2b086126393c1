// One machine, whole: its state, commands, facts, last start, operations, and the end of its console.

import { commandBar } from "./commands.ts";
import type { ConsoleKind } from "./consolelink.ts";
import { fill, h, icon } from "./dom.ts";
import { Problem } from "./door.ts";
import { machineSettings } from "./machinesettings.ts";
import { machineXml } from "./machinexml.ts";
import type { Machine, Operation, Page } from "./model.ts";
import { operationList } from "./operations.ts";
import { machineSnapshots } from "./snapshots.ts";
import { detailOf, stateOf } from "./states.ts";
import { texts } from "./texts.ts";
import { memory, NOTHING, when } from "./units.ts";
import { usageCharts } from "./usage.ts";
import { type Context, settled, type View } from "./view.ts";

/** The page of the machine `id`. */
export function machinePage(context: Context, id: string, closed: () => void): View {
  const title = h("h2", { tabindex: -1 }, texts.loading);
  const state = h("p", { class: "cv-state" });
  const commands = h("div");
  const facts = h("dl", { class: "cv-facts" });
  const snapshots = machineSnapshots(context, id, () => void read());
  const usage = usageCharts(context, `machines/${encodeURIComponent(id)}`);
  const xml = machineXml(context, id);
  const settings = machineSettings(context, id, () => void read());
  const start = h("ol", { class: "cv-timeline" });
  const operations = h("div");
  const consoleText = h("pre", {
    class: "cv-console",
    tabindex: 0,
    "aria-label": texts.consoleEnd,
    hidden: true,
  });
  const more = h("button", { type: "button", onclick: () => void readConsole() }, texts.showConsole);
  const serial = h("button", { type: "button", onclick: () => console("serial") }, texts.consoles.serial);
  const screen = h("button", { type: "button", onclick: () => console("vnc") }, texts.consoles.vnc);
  const console = (kind: ConsoleKind) => context.openConsole({ id, name: title.textContent ?? id }, kind);
  const rest = h(
    "div",
    { class: "cv-sections" },
    section(texts.consoles.all, h("p", { class: "cv-buttons" }, serial, screen)),
    section(texts.details, facts, settings.element, snapshots.element, usage, xml.element),
    section(texts.lastStart, start),
    section(texts.lastOperations, operations),
    section(texts.consoleEnd, more, consoleText),
  );
  const element = h(
    "section",
    { class: "cv-machine", "aria-label": texts.machines },
    h(
      "header",
      {},
      title,
      h("button", { type: "button", class: "cv-quiet", "aria-label": texts.close, onclick: closed }, "×"),
    ),
    state,
    commands,
    rest,
  );
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closed();
  });

  const path = `machines/${encodeURIComponent(id)}`;
  let drawn = "";
  let revision = -1;

  function draw(machine: Machine): void {
    if (machine.revision < revision) return;
    revision = machine.revision;
    const now = stateOf(machine);
    title.textContent = machine.name;
    fill(state, icon(now.icon, now.tone), h("strong", {}, now.text), ` ${detailOf(machine)}`);
    const key = JSON.stringify([machine.actions, machine.status, machine.power, machine.name]);
    if (key !== drawn) {
      drawn = key;
      fill(commands, commandBar(context, machine, read));
    }
    settings.draw(machine);
    snapshots.draw(machine);
    fill(
      facts,
      ...factsOf(machine).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value || NOTHING)]),
    );
    fill(
      start,
      ...machine.timeline.map((mark) =>
        h(
          "li",
          {},
          h("time", { datetime: mark.at }, new Date(mark.at).toLocaleTimeString("sv-SE")),
          ` ${mark.message}`,
        ),
      ),
    );
    (start.parentElement as HTMLElement).hidden = machine.timeline.length === 0;
  }

  async function read(): Promise<void> {
    try {
      draw(await context.door.ask<Machine>("GET", path));
      const page = await context.door.ask<Page<Operation>>("GET", "operations", {
        subject: `machine/${id}`,
        limit: 5,
      });
      fill(operations, operationList(context, page.items, new Map()));
    } catch (error) {
      if (error instanceof Problem && error.status === 404) {
        title.textContent = texts.noSuchMachine;
        fill(state, h("code", {}, id));
        fill(commands);
        rest.hidden = true;
      } else fill(state, icon("✖", "bad"), (error as Error).message);
    }
  }

  async function readConsole(): Promise<void> {
    try {
      const { text } = await context.door.ask<{ text: string }>("GET", `${path}/console`);
      consoleText.textContent = text || texts.emptyConsole;
      consoleText.hidden = false;
      more.textContent = texts.refresh;
      consoleText.scrollTop = consoleText.scrollHeight;
    } catch (error) {
      context.toasts.fail((error as Error).message);
    }
  }

  const again = settled(() => void read());
  const forget = context.events.listen({
    event: (event) => {
      if (event.subject === `machine/${id}`) {
        if (event.type === "machine.changed") draw(event.data as unknown as Machine);
        again.call();
      } else if (event.type === "operation.changed" && event.data.subject === `machine/${id}`) {
        snapshots.refresh();
        again.call();
      }
    },
    reset: again.call,
    connection: () => undefined,
  });
  void read();
  return {
    element,
    close: () => {
      forget();
      xml.close();
      again.cancel();
    },
  };
}

function section(name: string, ...children: HTMLElement[]): HTMLElement {
  return h("section", {}, h("h3", {}, name), ...children);
}

function factsOf(machine: Machine): [string, string][] {
  const names = texts.facts;
  const labels = Object.entries(machine.labels).map(([name, value]) => (value ? `${name}=${value}` : name));
  const size = [
    texts.countOfCpus(machine.vcpus),
    memory(machine.memory_mib),
    `disk ${memory(machine.disk_mib)} (${machine.flavor})`,
  ].join(", ");
  const { pending } = machine;
  const later = pending
    ? texts.sizeLater(`${texts.countOfCpus(pending.vcpus)}, ${memory(pending.memory_mib)}`)
    : "";
  return [
    [names.owner, machine.owner ?? ""],
    [names.size, later ? `${size}. ${later}` : size],
    [names.appliance, machine.appliance_title || machine.appliance],
    [names.host, machine.host ?? ""],
    [names.address, machine.address ?? ""],
    [names.server, machine.server_name ?? ""],
    [names.id, machine.id],
    [names.uuid, machine.uuid],
    [names.hypervisor, machine.hypervisor ?? ""],
    [names.acceleration, machine.acceleration ?? ""],
    [names.network, machine.network ?? ""],
    [names.mac, machine.mac ?? ""],
    [names.home, machine.home ?? ""],
    [names.labels, labels.join(", ")],
    [names.notes, machine.notes],
    [names.created, when(machine.created)],
    [names.changed, when(machine.changed)],
  ];
}
