// Long work: what it is, how far it is, and a way to end it.

import { h, icon } from "./dom.ts";
import type { Operation } from "./model.ts";
import { stateOfOperation } from "./states.ts";
import { texts } from "./texts.ts";
import { when } from "./units.ts";
import type { Context } from "./view.ts";

/** `operations` as a list; `names` says what to call a subject that has a better name than its id. */
export function operationList(
  context: Context,
  operations: readonly Operation[],
  names: ReadonlyMap<string, string>,
): HTMLElement {
  if (operations.length === 0) return h("p", { class: "cv-note" }, texts.noOperations);
  return h("ul", { class: "cv-operations" }, ...operations.map((each) => line(context, each, names)));
}

function line(context: Context, operation: Operation, names: ReadonlyMap<string, string>): HTMLElement {
  const state = stateOfOperation(operation);
  const what = `${operation.action} ${names.get(operation.subject) ?? operation.subject}`;
  const machine = operation.subject.startsWith("machine/")
    ? operation.subject.slice("machine/".length)
    : null;
  const running = operation.status === "running";
  return h(
    "li",
    { "data-operation": operation.id },
    icon(state.icon, state.tone),
    h(
      "span",
      { class: "cv-what" },
      machine
        ? h("button", { type: "button", class: "cv-link", onclick: () => context.openMachine(machine) }, what)
        : what,
      h("small", {}, `${operation.actor}, ${when(operation.created)}`),
    ),
    running
      ? h("progress", { max: 100, value: operation.progress, "aria-label": what })
      : h("span", { class: "cv-hidden" }, state.text),
    h("span", { class: "cv-message" }, operation.error?.detail ?? operation.message),
    running &&
      operation.cancellable &&
      h(
        "button",
        {
          type: "button",
          "aria-label": texts.cancelOf(what),
          onclick: () => void cancel(context, operation, what),
        },
        texts.cancel,
      ),
  );
}

async function cancel(context: Context, operation: Operation, what: string): Promise<void> {
  try {
    await context.door.ask("DELETE", `operations/${encodeURIComponent(operation.id)}`);
    context.toasts.say(texts.begun(texts.cancel, what));
  } catch (error) {
    context.toasts.fail(texts.failed(texts.cancelOf(what), (error as Error).message));
  }
}
