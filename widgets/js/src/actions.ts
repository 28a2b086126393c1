// What can be done with a machine: each action with its request, its Python, and the reason when it cannot be done.

import type { Door } from "./door.ts";
import type { Machine, Operation } from "./model.ts";
import { stateOf } from "./states.ts";
import { texts } from "./texts.ts";

export interface Action {
  id: string;
  label: string;
  dangerous: boolean;
  /** What is asked before it is done; null where nothing can be lost. */
  question: ((name: string) => string) | null;
  /** Whether the machine's name has to be typed first. */
  typed: boolean;
  /** The request of the API. */
  request(id: string): readonly [method: string, path: string, body?: unknown];
}

function post(id: keyof typeof texts.actions, question: Action["question"], dangerous = false): Action {
  return {
    id,
    label: texts.actions[id],
    dangerous,
    question,
    typed: false,
    request: (machine) => [
      "POST",
      `machines/${encodeURIComponent(machine)}/${id}`,
      id === "start" ? {} : undefined,
    ],
  };
}

export const ACTIONS: readonly Action[] = [
  post("start", null),
  post("shutdown", texts.askShutdown),
  post("reboot", texts.askReboot),
  post("poweroff", texts.askPoweroff, true),
  {
    id: "delete",
    label: texts.actions.delete,
    dangerous: true,
    question: texts.askDelete,
    typed: true,
    request: (machine) => ["DELETE", `machines/${encodeURIComponent(machine)}`],
  },
];

/** Why `action` cannot be done with `machine` now; null where it can. The controller has decided; this explains. */
export function reasonAgainst(action: Action, machine: Machine): string | null {
  if (machine.actions.includes(action.id)) return null;
  if (machine.power === "unknown") return texts.reasons.unknown;
  if (machine.protected && action.id === "delete") return texts.reasons.protected;
  const { status } = machine;
  if (status === "starting" || status === "stopping" || status === "deleting")
    return texts.reasons.busy(stateOf(machine).text);
  if (action.id === "start" && status === "running") return texts.reasons.running;
  if (action.id !== "start" && action.id !== "delete" && status !== "running")
    return texts.reasons.notRunning;
  return texts.reasons.notNow;
}

export function perform(door: Door, action: Action, machine: Machine): Promise<Operation> {
  const [method, path, body] = action.request(machine.id);
  return door.ask<Operation>(method, path, {}, body);
}

/** The call of the Python client that does the same. */
export function asPython(action: Action, ids: readonly string[]): string {
  const [only] = ids;
  if (ids.length === 1 && only) return `Client().machines.${action.id}(${quoted(only)}, wait=True)`;
  return [
    `with Client() as client:`,
    `    for machine in [${ids.map(quoted).join(", ")}]:`,
    `        client.machines.${action.id}(machine)`,
  ].join("\n");
}

/** The same with the import that it needs: what is copied runs in an empty cell. */
export function asCell(python: string): string {
  return `from cernvmapi.client import Client\n\n${python}`;
}

/** A string as Python writes it. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}
