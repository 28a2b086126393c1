import { beforeEach, expect, test } from "vitest";
import { dashboard } from "../src/dashboard.ts";
import { KernelDoor, render, type WidgetModel } from "../src/widget.ts";
import { FakeDoor, machine, until } from "./fixtures.ts";

class Model implements WidgetModel {
  values: Record<string, unknown> = { room: "infrastructure", machine: "", selection: [] };
  sent: { id: number; method: string; path: string }[] = [];
  private readonly listeners = new Map<string, Set<(content: never) => void>>();

  get = (name: string) => this.values[name];
  set = (name: string, value: unknown) => {
    this.values[name] = value;
  };
  save_changes = () => undefined;
  on = (event: string, heard: (content: never) => void) => {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(heard));
  };
  off = (event: string, heard: (content: never) => void) => void this.listeners.get(event)?.delete(heard);
  send = (content: unknown) => {
    const asked = content as { id: number; method: string; path: string };
    this.sent.push(asked);
    queueMicrotask(() => this.tell("msg:custom", answerTo(asked)));
  };
  tell(event: string, content: unknown = null): void {
    for (const heard of [...(this.listeners.get(event) ?? [])]) heard(content as never);
  }
  get listening(): number {
    return [...this.listeners.values()].reduce((sum, each) => sum + each.size, 0);
  }
}

function answerTo({ id, path }: { id: number; path: string }) {
  const items = path === "machines" ? [machine("m-1"), machine("m-2")] : [];
  if (path === "hosts") return { type: "answer", id, status: 403, body: { detail: "Not yours." } };
  return { type: "answer", id, status: 200, body: { items, total: items.length, next: null, event_id: 0 } };
}

beforeEach(() => document.body.replaceChildren());

test("without a door of the notebook server the kernel is asked, and clicks and code meet", async () => {
  const model = new Model();
  const close = render({ model, el: document.body, base: null });
  const row = (id: string) => document.querySelector(`[data-machine="${id}"]`);
  await until(() => row("m-2") !== null);
  row("m-2")?.querySelector("input")?.click();
  expect(model.values.selection).toEqual(["m-2"]);
  model.values.selection = ["m-1"];
  model.tell("change:selection");
  await until(() => row("m-1")?.getAttribute("aria-selected") === "true");
  (row("m-1") as HTMLElement).click();
  expect(model.values.machine).toBe("m-1");
  close();
  expect(model.listening).toBe(0);
});

test("a refusal through the kernel is a refusal", async () => {
  await expect(new KernelDoor(new Model()).ask("GET", "hosts")).rejects.toThrow("Not yours.");
});

test("the rooms are tabs that arrows reach, and one's place is told", async () => {
  const places: string[] = [];
  const shown = dashboard(new FakeDoor([machine("m-1")]), {}, (place) => places.push(place.room));
  document.body.append(shown.element);
  const tabs = [...document.querySelectorAll<HTMLElement>("[role=tab]")];
  tabs[0]?.focus();
  tabs[0]?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  expect(document.activeElement).toBe(tabs[1]);
  expect(places).toEqual(["dashboard", "infrastructure"]);
  shown.close();
});
