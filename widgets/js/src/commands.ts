// The buttons of a machine, and the bar for many: offered when valid, asked about when something can be lost.

import { ACTIONS, type Action, asCell, asPython, perform, reasonAgainst } from "./actions.ts";
import { fill, freshId, h, icon } from "./dom.ts";
import { confirmed, copy, modal } from "./feedback.ts";
import type { Machine } from "./model.ts";
import { texts } from "./texts.ts";
import type { Context } from "./view.ts";

/** The commands of one machine. */
export function commandBar(context: Context, machine: Machine, done: () => void): HTMLElement {
  return h(
    "div",
    { class: "cv-commands", role: "group", "aria-label": texts.commands },
    ...ACTIONS.filter((action) => action.shown(machine)).map((action) =>
      command(context, action, machine, done),
    ),
  );
}

function command(context: Context, action: Action, machine: Machine, done: () => void): HTMLElement {
  const reason = reasonAgainst(action, machine);
  const why = freshId();
  // Not `disabled`: the reason can then be reached with the keyboard.
  const button = h(
    "button",
    {
      type: "button",
      class: action.dangerous ? "cv-danger" : null,
      "aria-disabled": reason ? "true" : null,
      "aria-describedby": reason ? why : null,
      title: reason,
      onclick: () => void (reason ? context.toasts.say(reason) : one(context, action, machine).then(done)),
    },
    action.label,
  );
  const python = h("button", {
    type: "button",
    class: "cv-python",
    title: asPython(action, [machine.id]),
    "aria-label": texts.pythonOf(action.label),
    onclick: () => void copy(asCell(asPython(action, [machine.id])), context.toasts),
  });
  return h(
    "span",
    { class: "cv-command" },
    button,
    python,
    reason && h("span", { id: why, class: "cv-hidden" }, reason),
  );
}

async function one(context: Context, action: Action, machine: Machine): Promise<void> {
  const { question } = action;
  const sure =
    question === null ||
    (await confirmed(context.root, {
      title: action.label,
      body: [h("p", {}, question(machine.name))],
      verb: action.label,
      dangerous: action.dangerous,
      typed: action.typed ? machine.name : undefined,
    }));
  if (!sure) return;
  try {
    await perform(context.door, action, machine);
    context.toasts.say(texts.begun(action.label, machine.name));
  } catch (error) {
    context.toasts.fail(texts.failed(`${action.label}: ${machine.name}`, (error as Error).message));
  }
}

/** What can be done with the chosen ones of the loaded machines; empty while none is chosen. */
export function bulkBar(
  context: Context,
  machines: () => readonly Machine[],
): { element: HTMLElement; draw: () => void } {
  const element = h("div", { class: "cv-bulk", role: "toolbar", "aria-label": texts.commands });
  let shown = "";
  const draw = () => {
    const chosen = machines().filter((machine) => context.selection.has(machine.id));
    const counts = ACTIONS.map(
      (action) => chosen.filter((machine) => !reasonAgainst(action, machine)).length,
    );
    const key = JSON.stringify([context.selection.size, counts]);
    if (key === shown) return;
    shown = key;
    element.hidden = context.selection.size === 0;
    fill(
      element,
      h("span", { role: "status" }, texts.selected(context.selection.size)),
      ...ACTIONS.map((action, place) =>
        counts[place] === 0 && !chosen.some(action.shown)
          ? false
          : h(
              "button",
              {
                type: "button",
                class: action.dangerous ? "cv-danger" : null,
                disabled: counts[place] === 0,
                onclick: () => void many(context, action, machines),
              },
              `${action.label} (${counts[place]})`,
            ),
      ),
      h("button", { type: "button", onclick: () => context.selection.set([]) }, texts.clear),
    );
  };
  return { element, draw };
}

const AT_ONCE = 4;
const LISTED = 200;

async function many(context: Context, action: Action, machines: () => readonly Machine[]): Promise<void> {
  const chosen = machines().filter((machine) => context.selection.has(machine.id));
  const valid = chosen.filter((machine) => !reasonAgainst(action, machine));
  const skipped = chosen.filter((machine) => reasonAgainst(action, machine));
  const python = asPython(
    action,
    valid.map((machine) => machine.id),
  );
  const sure = await confirmed(context.root, {
    title: texts.bulkPreview(action.label, valid.length, chosen.length),
    body: [
      named(valid.map((machine) => [machine.name, ""])),
      ...(skipped.length ? [h("p", {}, texts.skipped(skipped.length))] : []),
      named(skipped.map((machine) => [machine.name, reasonAgainst(action, machine) ?? ""])),
      h("button", { type: "button", onclick: () => void copy(asCell(python), context.toasts) }, texts.python),
    ],
    verb: `${action.label} (${valid.length})`,
    dangerous: action.dangerous,
    typed: action.typed ? texts.bulkDelete(valid.length) : undefined,
  });
  if (!sure) return;
  const { dialog, body, foot } = modal(
    context.root,
    texts.bulkPreview(action.label, valid.length, chosen.length),
  );
  const close = h(
    "button",
    { type: "button", class: "cv-primary", onclick: () => dialog.close() },
    texts.close,
  );
  const lines = valid.map((machine) => ({ machine, said: h("span", {}, texts.waiting) }));
  fill(
    body,
    h("ul", { class: "cv-results" }, ...lines.map(({ machine, said }) => h("li", {}, machine.name, said))),
  );
  fill(foot, close);
  close.focus();
  const queue = [...lines];
  const worker = async () => {
    for (let line = queue.shift(); line; line = queue.shift()) {
      try {
        await perform(context.door, action, line.machine);
        fill(line.said, icon("✔", "good"), texts.accepted);
      } catch (error) {
        fill(line.said, icon("✖", "bad"), texts.refused((error as Error).message));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function named(lines: readonly (readonly [string, string])[]): HTMLElement {
  const rest = lines.length - LISTED;
  return h(
    "ul",
    { class: "cv-results" },
    ...lines.slice(0, LISTED).map(([name, why]) => h("li", {}, name, why && h("span", {}, why))),
    rest > 0 && h("li", {}, texts.more(rest)),
  );
}
