// A machine's state for a reader: an icon of its own shape, a word, a tone for the style sheet.

import type { Host, Machine, Operation } from "./model.ts";
import { texts } from "./texts.ts";

export interface State {
  icon: string;
  text: string;
  tone: "good" | "busy" | "quiet" | "warn" | "bad";
}

const STATES: Record<Machine["status"], State> = {
  pending: { icon: "○", text: texts.states.pending, tone: "quiet" },
  starting: { icon: "◔", text: texts.states.starting, tone: "busy" },
  running: { icon: "●", text: texts.states.running, tone: "good" },
  stopping: { icon: "◕", text: texts.states.stopping, tone: "busy" },
  stopped: { icon: "■", text: texts.states.stopped, tone: "quiet" },
  failed: { icon: "✖", text: texts.states.failed, tone: "bad" },
  deleting: { icon: "◌", text: texts.states.deleting, tone: "busy" },
};
export const STATUSES = Object.keys(STATES) as Machine["status"][];

/** The state of a machine; a host out of reach makes it unknown, whatever it was before. */
export function stateOf(machine: Machine): State {
  if (machine.power === "unknown") return { icon: "?", text: texts.states.unknown, tone: "warn" };
  if (machine.power === "paused" && machine.status === "running")
    return { icon: "❚❚", text: texts.states.paused, tone: "warn" };
  if (machine.stored && machine.status === "stopped")
    return { icon: "▣", text: texts.states.stored, tone: "quiet" };
  return STATES[machine.status];
}

export function stateOfStatus(status: Machine["status"]): State {
  return STATES[status];
}

/** The sentence that explains a state; empty where the state says it all. */
export function detailOf(machine: Machine): string {
  if (machine.power === "unknown") return texts.hostSilent(machine.host);
  if (machine.error) return machine.error.detail;
  if (machine.lock) return texts.reasons.locked(machine.lock.author, machine.lock.reason);
  if (machine.moving_to) return texts.moving(machine.moving_to);
  const last = machine.timeline.at(-1);
  if (machine.status === "starting" && last) return `${last.message} (${machine.progress} %)`;
  return "";
}

export function stateOfHost(host: Host): State {
  if (!host.alive) return { icon: "?", text: texts.hostDead, tone: "warn" };
  if (host.maintenance) return { icon: "⚒", text: texts.hostMaintenance, tone: "busy" };
  return { icon: "●", text: texts.hostAlive, tone: "good" };
}

export function stateOfOperation(operation: Operation): State {
  const states: Record<Operation["status"], State> = {
    running: { icon: "◔", text: "running", tone: "busy" },
    succeeded: { icon: "✔", text: "succeeded", tone: "good" },
    failed: { icon: "✖", text: "failed", tone: "bad" },
    cancelled: { icon: "⊘", text: "cancelled", tone: "quiet" },
  };
  return states[operation.status];
}
