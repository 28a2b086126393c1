// A machine's snapshots.

import { expect, test, vi } from "vitest";
import type { Machine } from "../src/model.ts";
import { machineSnapshots } from "../src/snapshots.ts";
import type { Context } from "../src/view.ts";
import { machine } from "./fixtures.ts";

const ALL = ["snapshot", "revert", "forget-snapshot"];

function opened(actions: string[], items: unknown[]) {
  const asked: unknown[][] = [];
  const failed: string[] = [];
  const done = vi.fn();
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        if (request[1] === "machines/m-1/snapshots" && request[0] === "GET") return { items };
        if (items.length === 0) throw new Error("no room");
        return {};
      },
    },
    toasts: { fail: (text: string) => failed.push(text) },
    root: document.body,
  } as unknown as Context;
  const made = machineSnapshots(context, "m-1", done);
  const shown: Machine = machine("m-1", { name: "analysis", actions });
  made.draw(shown);
  document.body.replaceChildren(made.element);
  (made.element as HTMLDetailsElement).open = true;
  made.element.dispatchEvent(new Event("toggle"));
  return { made, asked, failed, done };
}

const ONE = { name: "before", created: "2026-11-25T10:00:00Z", memory: true, current: true };

test("what was kept is listed with what can be done about it", async () => {
  const { made } = opened(ALL, [ONE]);
  await vi.waitFor(() => expect(made.element.textContent).toContain("before"));
  expect(made.element.textContent).toContain("with its memory");
  const names = [...made.element.querySelectorAll("button")].map((button) => button.textContent);
  expect(names).toEqual(["Bring back to before", "Delete before", "", "Take a snapshot"]);
});

test("who may do nothing is offered nothing", async () => {
  const { made } = opened([], [ONE]);
  await vi.waitFor(() => expect(made.element.textContent).toContain("before"));
  expect(made.element.querySelectorAll("li button:not(.cv-python)")).toHaveLength(0);
  expect(made.element.querySelector("form")?.hidden).toBe(true);
});

test("one is taken under a name, and the page looks anew", async () => {
  const { made, asked, done } = opened(ALL, [ONE]);
  const field = made.element.querySelector("input") as HTMLInputElement;
  field.value = " tuned ";
  made.element.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(done).toHaveBeenCalled());
  expect(asked).toContainEqual(["POST", "machines/m-1/snapshots", {}, { name: "tuned" }]);
  expect(field.value).toBe("");
});

test("what is refused is said", async () => {
  const { made, failed } = opened(ALL, []);
  await vi.waitFor(() => expect(made.element.textContent).toContain("No snapshots"));
  made.element.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(failed).toEqual(["no room"]));
});
