// What of a machine can be changed in place: its name, size, notes, labels, and whether it is protected.

import { asCell, quoted } from "./actions.ts";
import { fill, h } from "./dom.ts";
import { copy } from "./feedback.ts";
import type { Flavor, Machine, Page } from "./model.ts";
import { texts } from "./texts.ts";
import { memory } from "./units.ts";
import type { Context } from "./view.ts";

export interface Settings {
  element: HTMLElement;
  /** Show what the machine has now; what somebody is typing stays. */
  draw(machine: Machine): void;
}

type Changes = Partial<Pick<Machine, "name" | "notes" | "labels" | "protected" | "flavor">>;

/** A form that is closed until somebody wants it. */
export function machineSettings(context: Context, id: string, done: () => void): Settings {
  const words = texts.settings;
  const name = h("input", { type: "text", maxlength: 255, autocomplete: "off" });
  const size = h("select");
  const labels = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const notes = h("textarea", { rows: 3, maxlength: 10000 });
  const kept = h("input", { type: "checkbox" });
  const save = h("button", { type: "submit", class: "cv-primary" }, words.save);
  const python = h("button", { type: "button", onclick: () => void copyPython() }, texts.python);
  const form = h(
    "form",
    { class: "cv-form" },
    field(words.name, name),
    field(words.size, size),
    field(words.labels, labels),
    field(words.notes, notes),
    h("label", { class: "cv-tick" }, kept, ` ${words.protected}`),
    h("p", { class: "cv-buttons" }, save, python),
  );
  const element = h("details", { class: "cv-settings" }, h("summary", {}, words.title), form);
  let shown: Machine | null = null;
  let typed = false;

  form.addEventListener("input", () => {
    typed = true;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  form.addEventListener("keydown", (event) => event.stopPropagation());
  element.addEventListener("toggle", () => void (element.open && offerSizes()));

  async function offerSizes(): Promise<void> {
    try {
      const page = await context.door.ask<Page<Flavor>>("GET", "flavors");
      const chosen = size.value;
      fill(
        size,
        h("option", { value: "" }, shown ? words.sizeStays(sizeOf(shown)) : ""),
        ...page.items.map((flavor) =>
          h("option", { value: flavor.id }, `${flavor.title} (${sizeOf(flavor)})`),
        ),
      );
      size.value = chosen;
    } catch (error) {
      context.toasts.fail((error as Error).message);
    }
  }

  function changes(): Changes {
    if (!shown) return {};
    const found: Changes = {};
    if (name.value.trim() && name.value.trim() !== shown.name) found.name = name.value.trim();
    if (size.value) found.flavor = size.value;
    if (notes.value !== shown.notes) found.notes = notes.value;
    if (labels.value.trim() !== written(shown.labels)) found.labels = read(labels.value);
    if (kept.checked !== shown.protected) found.protected = kept.checked;
    return found;
  }

  async function submit(): Promise<void> {
    const wanted = changes();
    if (Object.keys(wanted).length === 0) {
      context.toasts.say(words.nothing);
      return;
    }
    save.disabled = true;
    try {
      const machine = await context.door.ask<Machine>(
        "PATCH",
        `machines/${encodeURIComponent(id)}`,
        {},
        wanted,
      );
      typed = false;
      size.value = "";
      context.toasts.say(machine.pending ? words.savedForLater : words.saved);
      draw(machine);
      done();
    } catch (error) {
      context.toasts.fail((error as Error).message);
    } finally {
      save.disabled = false;
    }
  }

  function copyPython(): Promise<void> {
    const given = Object.entries(changes()).map(([key, value]) => `, ${key}=${inPython(value)}`);
    return copy(asCell(`Client().machines.change(${quoted(id)}${given.join("")})`), context.toasts);
  }

  function draw(machine: Machine): void {
    shown = machine;
    if (typed) return;
    name.value = machine.name;
    labels.value = written(machine.labels);
    notes.value = machine.notes;
    kept.checked = machine.protected;
  }

  return { element, draw };
}

function field(label: string, control: HTMLElement): HTMLElement {
  return h("label", { class: "cv-field" }, label, control);
}

function sizeOf(has: { vcpus: number; memory_mib: number }): string {
  return `${texts.countOfCpus(has.vcpus)}, ${memory(has.memory_mib)}`;
}

/** Labels as one types them: `key=value, key`. */
export function written(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .join(", ");
}

export function read(text: string): Record<string, string> {
  const pairs = text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map((part): [string, string] => {
      const [key = "", ...rest] = part.split("=");
      return [key.trim(), rest.join("=").trim()];
    });
  return Object.fromEntries(pairs);
}

/** A value as Python writes it. */
export function inPython(value: unknown): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  const entries = Object.entries(value as Record<string, string>);
  return `{${entries.map(([key, each]) => `${quoted(key)}: ${quoted(each)}`).join(", ")}}`;
}
