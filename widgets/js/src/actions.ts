// What can be done with a machine: each action with its request, its Python, and the reason when it cannot be done.

import type { Door } from "./door.ts";
import type { Machine } from "./model.ts";
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
  /** Whether it is an operation, whose end can be waited for. */
  waits: boolean;
  /** Whether it is of any use for a machine; else it is not even shown. */
  shown(machine: Machine): boolean;
  /** The request of the API. */
  request(id: string): readonly [method: string, path: string, body?: unknown];
}

const OFF_TOO = new Set(["start", "move", "lock", "unlock", "delete"]);
const WITH_BODY = new Set(["start", "store", "lock", "move"]);
const always = () => true;
const paused = (machine: Machine) => machine.power === "paused";

function post(
  id: keyof typeof texts.actions,
  question: Action["question"],
  more: Partial<Pick<Action, "dangerous" | "waits" | "shown">> = {},
): Action {
  return {
    id,
    label: texts.actions[id],
    dangerous: false,
    question,
    typed: false,
    waits: true,
    shown: always,
    ...more,
    request: (machine) => [
      "POST",
      `machines/${encodeURIComponent(machine)}/${id}`,
      WITH_BODY.has(id) ? {} : undefined,
    ],
  };
}

export const ACTIONS: readonly Action[] = [
  post("start", null),
  post("shutdown", texts.askShutdown),
  post("reboot", texts.askReboot),
  post("suspend", null, { shown: (machine) => !paused(machine) }),
  post("resume", null, { shown: paused }),
  post("store", texts.askStore),
  post("move", texts.askMove, { shown: (machine) => machine.actions.includes("move") }),
  post("lock", null, { waits: false, shown: (machine) => machine.lock === null }),
  post("unlock", null, { waits: false, shown: (machine) => machine.lock !== null }),
  post("reset", texts.askReset, { dangerous: true }),
  post("poweroff", texts.askPoweroff, { dangerous: true }),
  {
    id: "delete",
    label: texts.actions.delete,
    dangerous: true,
    question: texts.askDelete,
    typed: true,
    waits: true,
    shown: always,
    request: (machine) => ["DELETE", `machines/${encodeURIComponent(machine)}`],
  },
];

/** Why `action` cannot be done with `machine` now; null where it can. The controller has decided; this explains. */
export function reasonAgainst(action: Action, machine: Machine): string | null {
  if (machine.actions.includes(action.id)) return null;
  if (machine.power === "unknown") return texts.reasons.unknown;
  if (machine.lock) return texts.reasons.locked(machine.lock.author, machine.lock.reason);
  if (machine.moving_to) return texts.reasons.moving(machine.moving_to);
  if (machine.protected && action.id === "delete") return texts.reasons.protected;
  const { status } = machine;
  if (status === "starting" || status === "stopping" || status === "deleting")
    return texts.reasons.busy(stateOf(machine).text);
  if (action.id === "start" && status === "running") return texts.reasons.running;
  if (!OFF_TOO.has(action.id) && status !== "running") return texts.reasons.notRunning;
  return texts.reasons.notNow;
}

export function perform(door: Door, action: Action, machine: Machine): Promise<unknown> {
  const [method, path, body] = action.request(machine.id);
  return door.ask(method, path, {}, body);
}

/** The call of the Python client that does the same. */
export function asPython(action: Action, ids: readonly string[]): string {
  const [only] = ids;
  const wait = action.waits ? ", wait=True" : "";
  if (ids.length === 1 && only) return `Client().machines.${action.id}(${quoted(only)}${wait})`;
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
