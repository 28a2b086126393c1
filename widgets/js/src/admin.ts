// The room of who keeps the hub running: how its parts are, and who did what.

import { h, icon } from "./dom.ts";
import { type Listing, listed } from "./listed.ts";
import type { AuditRecord, Health } from "./model.ts";
import { texts } from "./texts.ts";
import { when } from "./units.ts";
import type { Context, View } from "./view.ts";

const SHOWN = 100;

export function admin(context: Context): View {
  const words = texts.admin;
  const about = h("p", { class: "cv-note" });
  const health = healthOf(context, about);
  const field = h("input", {
    type: "search",
    placeholder: words.search,
    "aria-label": words.search,
    autocomplete: "off",
    spellcheck: "false",
    "data-lm-suppress-shortcuts": "true",
  });
  const records: Listing = listed<AuditRecord>(context, {
    path: "audit",
    query: () => ({ limit: SHOWN, ...asked(field.value.trim()) }),
    concerns: () => true,
    pause: 3000,
    none: words.nothingDone,
    line: (record) =>
      h(
        "li",
        {},
        icon(record.outcome === "accepted" ? "●" : "✖", record.outcome === "accepted" ? "quiet" : "warn"),
        h("strong", {}, record.actor),
        ` ${record.action} ${record.subject} `,
        h("small", {}, [when(record.at), record.outcome, record.address].filter(Boolean).join(", ")),
      ),
  });
  field.addEventListener("change", records.refresh);
  field.addEventListener("keydown", (event) => event.stopPropagation());
  return {
    element: h(
      "div",
      { class: "cv-repository" },
      h("section", {}, h("h2", {}, words.health), about, health.element),
      h("section", {}, h("h2", {}, words.audit), h("div", { class: "cv-bar" }, field), records.element),
    ),
    close: () => {
      health.close();
      records.close();
    },
  };
}

/** What is typed is a user, an action (`machine.start`) or a subject (`machine/m-…`). */
export function asked(text: string): Record<string, string> {
  if (!text) return {};
  if (text.includes("/")) return { subject: text };
  return text.includes(".") ? { action: text } : { actor: text };
}

function healthOf(context: Context, about: HTMLElement): View {
  const words = texts.admin;
  const element = h("ul", { class: "cv-lines" });
  const read = async () => {
    try {
      const health = await context.door.ask<Health>("GET", "health/details");
      about.textContent = words.about(health.version, health.hub_id);
      element.replaceChildren(
        ...health.components.map((part) =>
          h(
            "li",
            {},
            icon(part.status === "ok" ? "●" : "▲", part.status === "ok" ? "good" : "warn"),
            h("strong", {}, part.name),
            ` ${part.status} `,
            part.detail && h("small", {}, part.detail),
          ),
        ),
      );
    } catch (error) {
      about.textContent = (error as Error).message;
    }
  };
  const forget = context.events.listen({
    event: (event) => event.type.startsWith("host.") && void read(),
    reset: () => void read(),
    connection: () => undefined,
  });
  void read();
  return { element, close: forget };
}
