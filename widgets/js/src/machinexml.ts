// A machine's definition: shown, written with its rules, brought back, and looked back at.

import { asCell, quoted } from "./actions.ts";
import { disclosed } from "./disclosed.ts";
import { fill, h } from "./dom.ts";
import { Problem } from "./door.ts";
import { confirmed, copy } from "./feedback.ts";
import type { BrokenRule, Definition, MachineXml, Page, XmlChanged } from "./model.ts";
import { texts } from "./texts.ts";
import { when } from "./units.ts";
import type { Context } from "./view.ts";
import type { XmlEditor } from "./xmleditor.ts";

export interface MachineDefinition {
  element: HTMLElement;
  close(): void;
}

export function machineXml(context: Context, id: string): MachineDefinition {
  const words = texts.definition;
  const path = `machines/${encodeURIComponent(id)}`;
  let editor: XmlEditor | null = null;
  const element = disclosed(words.title, open);

  async function open(): Promise<HTMLElement> {
    const found = await context.door.ask<MachineXml>("GET", `${path}/xml`);
    const { xmlEditor } = await import("./xmleditor.ts");
    editor?.close();
    const note = h("p", { class: "cv-note", role: "status" }, standing(found));
    const difference = h("div");
    const comment = h("input", { type: "text", maxlength: 1000, autocomplete: "off" });
    const check = h("button", { type: "button", onclick: () => void send(true) }, words.check);
    const save = h("button", { type: "submit", class: "cv-primary" }, words.save);
    const here = xmlEditor(found.xml, words.of, () => fill(difference));
    editor = here;
    const form = h(
      "form",
      { class: "cv-form" },
      h("label", { class: "cv-field" }, words.comment, comment),
      h(
        "p",
        { class: "cv-buttons" },
        check,
        save,
        found.own && h("button", { type: "button", onclick: () => void reset() }, words.reset),
        h("button", { type: "button", onclick: () => void copyPython() }, texts.python),
      ),
    );
    form.addEventListener("keydown", (event) => event.stopPropagation());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void send(false);
    });

    async function send(preview: boolean): Promise<void> {
      check.disabled = save.disabled = true;
      try {
        const body = { xml: here.text(), digest: found.digest, comment: comment.value, preview };
        const result = await context.door.ask<XmlChanged>("PUT", `${path}/xml`, {}, body);
        if (preview) show(result.broken, result.diff);
        else {
          context.toasts.say(result.pending ? words.savedForLater : words.saved);
          await again();
        }
      } catch (error) {
        show(faultsOf(error), "", (error as Error).message);
      } finally {
        check.disabled = save.disabled = false;
      }
    }

    function show(broken: readonly BrokenRule[], diff: string, message = ""): void {
      here.mark(broken);
      fill(
        difference,
        message && h("p", { class: "cv-state", role: "alert" }, message),
        broken.length > 0 &&
          h("ul", {}, ...broken.map((each) => h("li", {}, words.broken(each.line, each.rule, each.message)))),
        !message && (diff ? changes(diff) : h("p", { class: "cv-note" }, words.same)),
      );
    }

    async function reset(): Promise<void> {
      const sure = await confirmed(context.root, {
        title: words.reset,
        body: [h("p", {}, words.askReset)],
        verb: words.reset,
        dangerous: true,
      });
      if (!sure) return;
      try {
        await context.door.ask("DELETE", `${path}/xml`);
        await again();
      } catch (error) {
        show([], "", (error as Error).message);
      }
    }

    function copyPython(): Promise<void> {
      const write = `Client().machines.put_xml(${quoted(id)}, xml, comment=${quoted(comment.value)})`;
      return copy(asCell(`xml = Client().machines.xml(${quoted(id)}).xml\n${write}`), context.toasts);
    }

    return h(
      "div",
      {},
      note,
      here.element,
      difference,
      form,
      found.running && disclosed(words.running, async () => source(found.running ?? "", words.running)),
      disclosed(words.history, history),
    );
  }

  async function again(): Promise<void> {
    const place = element.querySelector(":scope > div") as HTMLElement;
    fill(place, await open());
  }

  async function history(): Promise<HTMLElement> {
    const { items } = await context.door.ask<Page<Definition>>("GET", `${path}/definitions`);
    if (items.length === 0) return h("p", { class: "cv-note" }, words.noHistory);
    return h(
      "ol",
      { class: "cv-history", reversed: true },
      ...items.map((each) =>
        h(
          "li",
          { value: each.number },
          words.change(when(each.at), each.author, each.comment, each.own),
          each.overrode.length > 0 && ` ${words.overrode(each.overrode.join(", "))}`,
          changes(each.diff),
        ),
      ),
    );
  }

  return { element, close: () => editor?.close() };
}

function standing(found: MachineXml): string {
  const words = texts.definition;
  const whose = found.own ? words.own : words.hubs;
  return found.pending ? `${whose} ${words.pending}` : whose;
}

function faultsOf(error: unknown): BrokenRule[] {
  return error instanceof Problem ? (error.errors as unknown as BrokenRule[]) : [];
}

/** A difference, with what came and what went marked by more than colour: each line has its sign. */
function changes(diff: string): HTMLElement {
  const lines = diff.split("\n").map((line) => {
    const sign = line.startsWith("+") ? "cv-came" : line.startsWith("-") ? "cv-went" : "";
    return h("span", { class: sign }, `${line}\n`);
  });
  return h("pre", { class: "cv-diff", tabindex: 0, "aria-label": texts.definition.difference }, ...lines);
}

function source(text: string, label: string): HTMLElement {
  return h("pre", { class: "cv-console", tabindex: 0, "aria-label": label }, text);
}
