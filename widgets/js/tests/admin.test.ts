// The administrator's room, and the dialog that makes a machine.

import { expect, test, vi } from "vitest";
import { admin, asked } from "../src/admin.ts";
import { newMachine, python } from "../src/newmachine.ts";
import type { Context } from "../src/view.ts";

function place(answers: Record<string, unknown>) {
  const requests: unknown[][] = [];
  const opened: string[] = [];
  document.body.replaceChildren();
  HTMLDialogElement.prototype.showModal ??= () => undefined;
  HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
    this.dispatchEvent(new Event("close"));
  };
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        requests.push(request);
        return answers[`${request[0]} ${request[1]}`];
      },
    },
    events: { listen: () => () => undefined },
    toasts: { say: () => undefined, fail: (text: string) => opened.push(`! ${text}`) },
    root: document.body,
    openMachine: (id: string) => opened.push(id),
  } as unknown as Context;
  return { context, requests, opened };
}

test("how each part is and who did what is told", async () => {
  const { context } = place({
    "GET health/details": {
      status: "degraded",
      version: "0.1.0",
      hub_id: "h",
      components: [{ name: "store", status: "degraded", detail: "The disk is nearly full." }],
    },
    "GET audit": {
      items: [
        {
          id: 1,
          at: "2026-11-25T10:00:00Z",
          actor: "carol",
          action: "host.drain",
          subject: "host/node7",
          outcome: "accepted",
          address: null,
        },
      ],
      total: 1,
    },
  });
  const view = admin(context);
  await vi.waitFor(() => expect(view.element.textContent).toContain("host.drain host/node7"));
  expect(view.element.textContent).toContain("The disk is nearly full.");
  expect(view.element.textContent).toContain("0.1.0");
});

test("the record is asked for by who, what or on what", () => {
  expect(asked("carol")).toEqual({ actor: "carol" });
  expect(asked("machine.start")).toEqual({ action: "machine.start" });
  expect(asked("machine/m-1")).toEqual({ subject: "machine/m-1" });
  expect(asked("")).toEqual({});
});

test("a machine is made of what was chosen, and opened", async () => {
  const { context, requests, opened } = place({
    "GET appliances": { items: [{ id: "tiny", title: "Tiny", version: "1", default: true }] },
    "GET flavors": { items: [{ id: "small", title: "Small", vcpus: 1, memory_mib: 1024, default: true }] },
    "POST machines": { id: "m-new" },
  });
  await newMachine(context, [], null);
  document.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(opened).toEqual(["m-new"]));
  expect(requests.at(-1)).toEqual([
    "POST",
    "machines",
    {},
    { appliance: "tiny", flavor: "small", start: true },
  ]);
});

test("the same is copied as Python", () => {
  expect(python({ appliance: "tiny", flavor: "small", host: "node7", start: false })).toBe(
    'Client().machines.create(appliance="tiny", flavor="small", host="node7", start=False)',
  );
});
