// What the feeds offer, searched and sorted by the controller; plus brings one here.

import { asCell, quoted } from "./actions.ts";
import { h, icon } from "./dom.ts";
import { confirmed, copy } from "./feedback.ts";
import { listed, tried } from "./listed.ts";
import type { CatalogueEntry } from "./model.ts";
import { texts } from "./texts.ts";
import { memory, when } from "./units.ts";
import { type Context, settled, type View } from "./view.ts";

const MIB = 1024 * 1024;
const SHOWN = 50;
const SORTS = ["-updated", "title", "category", "-size", "feed"] as const;

export function catalogue(context: Context): View {
  const words = texts.repository;
  const field = h("input", {
    type: "search",
    placeholder: words.search,
    "aria-label": words.search,
    autocomplete: "off",
    "data-lm-suppress-shortcuts": "true",
  });
  const order = h(
    "select",
    { "aria-label": words.order },
    ...SORTS.map((sort) => h("option", { value: sort }, words.orders[sort])),
  );
  const total = h("p", { class: "cv-note", role: "status" });
  const list = listed<CatalogueEntry>(context, {
    path: "catalogue",
    query: () => ({
      limit: SHOWN,
      sort: order.value,
      ...(field.value.trim() ? { search: field.value.trim() } : {}),
    }),
    concerns: (type) => /^(feed|appliance)\./.test(type),
    none: words.nothingOffered,
    line: (entry) => line(context, entry),
    told: (page) => {
      total.textContent = words.total(page.items.length, page.total);
    },
  });
  const typed = settled(list.refresh, 250);
  field.addEventListener("input", typed.call);
  field.addEventListener("keydown", (event) => event.stopPropagation());
  order.addEventListener("change", list.refresh);
  return {
    element: h("div", {}, h("div", { class: "cv-bar" }, field, order), total, list.element),
    close: () => {
      typed.cancel();
      list.close();
    },
  };
}

function line(context: Context, entry: CatalogueEntry): HTMLElement {
  const words = texts.repository;
  const about = [
    entry.category,
    entry.arch,
    entry.size !== null && memory(Math.ceil(entry.size / MIB)),
    entry.updated ? when(entry.updated) : entry.updated_text,
    entry.licence,
    entry.feed_title,
  ];
  const python = `Client().appliances.download(${quoted(entry.id)}, wait=True)`;
  const offered = entry.enclosures.length > 0 && !entry.downloaded;
  return h(
    "li",
    {},
    icon(entry.downloaded ? "✔" : entry.newer ? "▲" : "○", entry.downloaded ? "good" : "quiet"),
    h("strong", {}, entry.title),
    ` ${entry.version} `,
    h("small", {}, [...standing(entry), ...about].filter(Boolean).join(", ")),
    offered &&
      h(
        "button",
        { type: "button", "aria-label": words.plusOf(entry.title), onclick: () => void plus(context, entry) },
        words.plus,
      ),
    offered &&
      h("button", {
        type: "button",
        class: "cv-python",
        "aria-label": texts.pythonOf(words.plusOf(entry.title)),
        onclick: () => void copy(asCell(python), context.toasts),
      }),
    entry.description && h("p", { class: "cv-message" }, entry.description),
  );
}

/** What one has to know of an entry before one brings it here. */
export function standing(entry: CatalogueEntry): string[] {
  const words = texts.repository;
  return [
    entry.downloaded ? words.here : "",
    entry.newer ? words.newer : "",
    entry.expired ? words.expired : "",
    entry.verified ? words.verified : "",
    entry.enclosures.length === 0 ? words.nothingToDownload : "",
  ].filter(Boolean);
}

/** Whether nobody can say that the file is what its publisher made. */
export function unverifiable(entry: CatalogueEntry): boolean {
  const [file] = entry.enclosures;
  return !file?.checksums.sha256 && !file?.checksums.sha512;
}

async function plus(context: Context, entry: CatalogueEntry): Promise<void> {
  const words = texts.repository;
  const unverified = unverifiable(entry);
  if (unverified) {
    const sure = await confirmed(context.root, {
      title: words.plusOf(entry.title),
      body: [h("p", {}, words.askUnverified(entry.title))],
      verb: words.unverified,
      dangerous: true,
    });
    if (!sure) return;
  }
  const body = unverified ? { entry: entry.id, unverified } : { entry: entry.id };
  if (await tried(context, () => context.door.ask("POST", "appliances", {}, body)))
    context.toasts.say(words.coming(entry.title));
}
