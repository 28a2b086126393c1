// The room of appliances.

import { expect, test, vi } from "vitest";
import { standing, unverifiable } from "../src/catalogue.ts";
import type { CatalogueEntry, Feed } from "../src/model.ts";
import { repository } from "../src/repository.ts";
import type { Context } from "../src/view.ts";

const ENTRY: CatalogueEntry = {
  id: "cernvm.4",
  title: "CernVM 4",
  description: "For analyses",
  category: "image",
  version: "4.7",
  arch: "x86_64",
  size: 20 * 1024 * 1024,
  licence: "",
  updated: "2026-11-01T10:00:00Z",
  updated_text: "",
  feed_title: "CernVM",
  enclosures: [{ url: "https://a/b", checksums: { sha256: "0" } }],
  downloaded: null,
  newer: false,
  expired: false,
  verified: false,
};
const FEED: Feed = {
  id: "cernvm",
  title: "CernVM",
  url: "https://feeds.example/one.rss",
  configured: false,
  enabled: true,
  entries: 2,
  checked: null,
  failing_since: "2026-11-24T10:00:00Z",
  error: "The server does not answer.",
};

function opened(entries: CatalogueEntry[], feeds: Feed[]) {
  const asked: unknown[][] = [];
  const said: string[] = [];
  const heard: { event: (event: { type: string }) => void }[] = [];
  const answers: Record<string, unknown[]> = { appliances: [], catalogue: entries, feeds };
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        const items = answers[request[1] as string] ?? [];
        return request[0] === "GET" ? { items, total: items.length, next: null, event_id: 1 } : {};
      },
    },
    events: {
      listen: (listener: { event: (event: { type: string }) => void }) => {
        heard.push(listener);
        return () => undefined;
      },
    },
    toasts: { say: (text: string) => said.push(text), fail: (text: string) => said.push(`! ${text}`) },
    root: document.body,
  } as unknown as Context;
  const view = repository(context);
  document.body.replaceChildren(view.element);
  const button = (name: string) =>
    [...document.querySelectorAll<HTMLButtonElement>("button")].find(
      (each) => (each.getAttribute("aria-label") ?? each.textContent) === name,
    );
  return { view, asked, said, heard, button };
}

test("what is offered is brought here with plus", async () => {
  const { asked, said, button } = opened([ENTRY], []);
  await vi.waitFor(() => expect(button("Plus CernVM 4")).toBeDefined());
  button("Plus CernVM 4")?.click();
  await vi.waitFor(() => expect(said).toHaveLength(1));
  expect(asked).toContainEqual(["POST", "appliances", {}, { entry: "cernvm.4" }]);
});

test("what is here is not offered once more", async () => {
  const { view, button } = opened([{ ...ENTRY, downloaded: "cernvm-4.7" }], []);
  await vi.waitFor(() => expect(view.element.textContent).toContain("CernVM 4"));
  expect(button("Plus CernVM 4")).toBeUndefined();
  expect(view.element.textContent).toContain("here");
});

test("an entry without a checksum needs consent", () => {
  expect(unverifiable(ENTRY)).toBe(false);
  expect(unverifiable({ ...ENTRY, enclosures: [{ url: "x", checksums: { md5: "0" } }] })).toBe(true);
  expect(standing({ ...ENTRY, newer: true, expired: true })).toHaveLength(2);
});

test("a feed that fails says since when and why, and is read and removed", async () => {
  const { view, asked, said, button } = opened([], [FEED]);
  await vi.waitFor(() => expect(view.element.textContent).toContain("The server does not answer."));
  button("Read now: CernVM")?.click();
  await vi.waitFor(() => expect(said).toHaveLength(1));
  expect(asked).toContainEqual(["POST", "feeds/cernvm/refresh"]);
  expect(button("Remove CernVM")).toBeDefined();
});

test("a feed of the configuration is not removed here", async () => {
  const { view, button } = opened([], [{ ...FEED, configured: true, failing_since: null }]);
  await vi.waitFor(() => expect(view.element.textContent).toContain("2 entries"));
  expect(button("Remove CernVM")).toBeUndefined();
});

test("lists are read anew when something of their kind happens", async () => {
  const { asked, heard, view } = opened([], [FEED]);
  await vi.waitFor(() => expect(view.element.textContent).toContain("CernVM"));
  const before = asked.filter(([, path]) => path === "feeds").length;
  for (const each of heard) each.event({ type: "feed.changed" });
  await vi.waitFor(() => expect(asked.filter(([, path]) => path === "feeds").length).toBe(before + 1));
});
