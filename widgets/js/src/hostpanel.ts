// One host, above its machines: what it has, what it may be used for, and what is done with it.

import { asCell, quoted } from "./actions.ts";
import { disclosed } from "./disclosed.ts";
import { fill, h, icon } from "./dom.ts";
import { confirmed, copy } from "./feedback.ts";
import { hostClusters } from "./hostclusters.ts";
import { tried } from "./listed.ts";
import type { Host, Page, SeenDomain } from "./model.ts";
import { stateOfHost } from "./states.ts";
import { texts } from "./texts.ts";
import { memory } from "./units.ts";
import { usageCharts } from "./usage.ts";
import type { Context } from "./view.ts";

interface Command {
  label: string;
  /** What is asked before; null where nothing can be lost. */
  question: string | null;
  dangerous: boolean;
  /** Whether the host's name has to be typed first. */
  typed: boolean;
  request: readonly [method: string, path: string, body?: unknown];
  python: string;
}

export interface HostPanel {
  element: HTMLElement;
  /** Show a host; null: none. */
  show(host: Host | null): void;
}

export function hostPanel(context: Context, done: () => void): HostPanel {
  const element = h("section", { class: "cv-host", hidden: true, "aria-label": texts.host.title });
  let drawn = "";

  function show(host: Host | null): void {
    element.hidden = host === null;
    const key = JSON.stringify(host);
    if (key === drawn) return;
    drawn = key;
    if (host) fill(element, ...parts(context, host, done));
  }

  return { element, show };
}

function parts(context: Context, host: Host, done: () => void): HTMLElement[] {
  const words = texts.host;
  const state = stateOfHost(host);
  const used = [
    words.machines(host.machines),
    words.promised(host.vcpus_promised, host.cpus, memory(host.memory_promised_mib), memory(host.memory_mib)),
    host.acceleration ?? words.notProbed,
    words.level(host.level),
    host.uris.join(", "),
  ];
  return [
    h("h2", {}, host.name, " ", icon(state.icon, state.tone), h("small", {}, state.text)),
    h("p", { class: "cv-note" }, used.join(" · ")),
    ...(host.reason ? [h("p", { class: "cv-message" }, host.reason)] : []),
    h(
      "p",
      { class: "cv-commands", role: "group", "aria-label": texts.commands },
      ...commandsOf(host).map((command) => button(context, host, command, done)),
    ),
    disclosed(words.clusters, () => hostClusters(context, host, done)),
    usageCharts(context, `hosts/${encodeURIComponent(host.id)}`),
    disclosed(words.domains, () => domains(context, host)),
  ];
}

async function domains(context: Context, host: Host): Promise<HTMLElement> {
  const words = texts.host;
  const page = await context.door.ask<Page<SeenDomain>>(
    "GET",
    `hosts/${encodeURIComponent(host.id)}/domains`,
  );
  if (page.items.length === 0) return h("p", { class: "cv-note" }, words.noDomains);
  return h(
    "ul",
    { class: "cv-lines" },
    ...page.items.map(({ machine, ...domain }) =>
      h(
        "li",
        {},
        icon(domain.power === "off" ? "■" : "●", domain.power === "off" ? "quiet" : "good"),
        machine
          ? h(
              "button",
              { type: "button", class: "cv-link", onclick: () => context.openMachine(machine) },
              domain.name,
            )
          : h("strong", {}, domain.name),
        ` ${domain.power} `,
        h(
          "small",
          {},
          [domain.foreign && words.foreign, domain.reason, domain.uuid].filter(Boolean).join(", "),
        ),
      ),
    ),
  );
}

/** What can be done with a host now. */
export function commandsOf(host: Host): Command[] {
  const words = texts.host;
  const path = `hosts/${encodeURIComponent(host.id)}`;
  const python = (call: string) => `Client().hosts.${call}`;
  const id = quoted(host.id);
  const rest: Command = {
    label: host.maintenance ? words.serve : words.rest,
    question: null,
    dangerous: false,
    typed: false,
    request: ["PATCH", path, { maintenance: !host.maintenance }],
    python: python(`change(${id}, maintenance=${host.maintenance ? "False" : "True"})`),
  };
  const drain: Command = {
    label: words.drain,
    question: words.askDrain(host.name),
    dangerous: false,
    typed: false,
    request: ["POST", `${path}/drain`, {}],
    python: python(`drain(${id}, wait=True)`),
  };
  const evacuate: Command = {
    label: words.evacuate,
    question: words.askEvacuate(host.name),
    dangerous: true,
    typed: true,
    request: ["POST", `${path}/evacuate`, { is_off: true }],
    python: python(`evacuate(${id}, is_off=True)`),
  };
  const detach: Command = {
    label: words.detach,
    question: words.askDetach(host.name),
    dangerous: true,
    typed: true,
    request: ["DELETE", path],
    python: python(`detach(${id})`),
  };
  return [
    rest,
    ...(host.machines > 0 ? [host.alive ? drain : evacuate] : []),
    ...(host.source === "api" ? [detach] : []),
  ];
}

function button(context: Context, host: Host, command: Command, done: () => void): HTMLElement {
  const act = async () => {
    const sure =
      command.question === null ||
      (await confirmed(context.root, {
        title: command.label,
        body: [h("p", {}, command.question)],
        verb: command.label,
        dangerous: command.dangerous,
        typed: command.typed ? host.name : undefined,
      }));
    if (!sure) return;
    const [method, path, body] = command.request;
    if (await tried(context, () => context.door.ask(method, path, {}, body)))
      context.toasts.say(texts.begun(command.label, host.name));
    done();
  };
  return h(
    "span",
    { class: "cv-command" },
    h(
      "button",
      { type: "button", class: command.dangerous ? "cv-danger" : null, onclick: () => void act() },
      command.label,
    ),
    h("button", {
      type: "button",
      class: "cv-python",
      title: command.python,
      "aria-label": texts.pythonOf(command.label),
      onclick: () => void copy(asCell(command.python), context.toasts),
    }),
  );
}
