// What a machine was: its snapshots, taken, brought back to, and deleted.

import { asCell, quoted } from "./actions.ts";
import { fill, h } from "./dom.ts";
import { confirmed, copy } from "./feedback.ts";
import type { Machine, Page, Snapshot } from "./model.ts";
import { texts } from "./texts.ts";
import { when } from "./units.ts";
import type { Context } from "./view.ts";

export interface Snapshots {
  element: HTMLElement;
  draw(machine: Machine): void;
  /** Read the list anew, where somebody looks at it. */
  refresh(): void;
}

/** A list that is read when it is opened: it asks the machine's host. */
export function machineSnapshots(context: Context, id: string, done: () => void): Snapshots {
  const words = texts.snapshots;
  const path = `machines/${encodeURIComponent(id)}`;
  const name = h("input", { type: "text", maxlength: 40, autocomplete: "off", spellcheck: "false" });
  const take = h("button", { type: "submit" }, words.take);
  const form = h(
    "form",
    { class: "cv-form" },
    h("label", { class: "cv-field" }, words.name, name),
    h("p", { class: "cv-buttons" }, take),
  );
  const list = h("ul", { class: "cv-snapshots" });
  const element = h("details", { class: "cv-settings" }, h("summary", {}, words.title), list, form);
  let shown: Machine | null = null;

  form.addEventListener("keydown", (event) => event.stopPropagation());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = name.value.trim() ? { name: name.value.trim() } : {};
    void act("POST", `${path}/snapshots`, {}, body).then(() => {
      name.value = "";
    });
  });
  element.addEventListener("toggle", () => refresh());

  function refresh(): void {
    if (element.open) void read();
  }

  async function read(): Promise<void> {
    try {
      const page = await context.door.ask<Page<Snapshot>>("GET", `${path}/snapshots`);
      fill(list, ...(page.items.length ? page.items.map(line) : [h("li", {}, words.none)]));
    } catch (error) {
      fill(list, h("li", {}, (error as Error).message));
    }
  }

  function line(snapshot: Snapshot): HTMLElement {
    const may = (verb: string) => shown?.actions.includes(verb) ?? false;
    const python = `Client().machines.revert(${quoted(id)}, ${quoted(snapshot.name)}, wait=True)`;
    return h(
      "li",
      {},
      h("strong", {}, snapshot.name),
      ` ${when(snapshot.created)}${snapshot.memory ? `, ${words.withMemory}` : ""}${
        snapshot.current ? `, ${words.current}` : ""
      } `,
      may("revert") &&
        h("button", { type: "button", onclick: () => void revert(snapshot) }, words.revert(snapshot.name)),
      may("forget-snapshot") &&
        h(
          "button",
          { type: "button", class: "cv-danger", onclick: () => void remove(snapshot) },
          words.remove(snapshot.name),
        ),
      h("button", {
        type: "button",
        class: "cv-python",
        "aria-label": texts.pythonOf(words.revert(snapshot.name)),
        onclick: () => void copy(asCell(python), context.toasts),
      }),
    );
  }

  async function revert(snapshot: Snapshot): Promise<void> {
    const sure = await confirmed(context.root, {
      title: words.revert(snapshot.name),
      body: [h("p", {}, words.askRevert(shown?.name ?? id, snapshot.name))],
      verb: words.revert(snapshot.name),
      dangerous: true,
      typed: shown?.name,
    });
    if (sure) await act("POST", `${path}/revert`, {}, { snapshot: snapshot.name });
  }

  async function remove(snapshot: Snapshot): Promise<void> {
    const sure = await confirmed(context.root, {
      title: words.remove(snapshot.name),
      body: [h("p", {}, words.askRemove(snapshot.name))],
      verb: words.remove(snapshot.name),
      dangerous: true,
    });
    if (sure) await act("DELETE", `${path}/snapshots`, { name: snapshot.name });
  }

  async function act(
    method: string,
    where: string,
    query: Record<string, string>,
    body?: unknown,
  ): Promise<void> {
    try {
      await context.door.ask(method, where, query, body);
      done();
    } catch (error) {
      context.toasts.fail((error as Error).message);
    }
  }

  function draw(machine: Machine): void {
    shown = machine;
    form.hidden = !machine.actions.includes("snapshot");
  }

  return { element, draw, refresh };
}
