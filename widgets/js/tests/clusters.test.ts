// Hosts in clusters.

import { expect, test, vi } from "vitest";
import { hostClusters } from "../src/hostclusters.ts";
import type { Cluster, Host } from "../src/model.ts";
import type { Context } from "../src/view.ts";

const DEFAULT: Cluster = { id: "default", name: "default", hosts: [], machines: 0, default: true };

async function opened(clusters: Cluster[], refuse = false) {
  const asked: unknown[][] = [];
  const failed: string[] = [];
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        if (request[0] === "GET") return { items: clusters };
        if (refuse) throw new Error("The host is gone.");
        return {};
      },
    },
    toasts: { fail: (text: string) => failed.push(text) },
  } as unknown as Context;
  const done = vi.fn();
  const element = await hostClusters(context, { id: "node7" } as Host, done);
  document.body.replaceChildren(element);
  return { element, asked, failed, done };
}

test("a tick puts a host into a cluster, and takes it out", async () => {
  const physics = { ...DEFAULT, id: "physics", name: "Physics", default: false, hosts: ["node7"] };
  const { element, asked, done } = await opened([DEFAULT, physics]);
  const ticks = [...element.querySelectorAll<HTMLInputElement>("input[type=checkbox]")];
  expect(ticks).toHaveLength(1);
  expect(ticks[0]?.checked).toBe(true);
  ticks[0]?.click();
  await vi.waitFor(() => expect(done).toHaveBeenCalledTimes(2));
  expect(asked).toContainEqual(["POST", "clusters/physics/members", {}, { remove_hosts: ["node7"] }]);
});

test("what is refused is said, and the tick is as it was", async () => {
  const physics = { ...DEFAULT, id: "physics", name: "Physics", default: false };
  const { element, failed } = await opened([physics], true);
  const tick = element.querySelector<HTMLInputElement>("input[type=checkbox]");
  tick?.click();
  await vi.waitFor(() => expect(failed).toEqual(["The host is gone."]));
  expect(tick?.checked).toBe(false);
});

test("a new cluster has the host in it", async () => {
  const { element, asked } = await opened([DEFAULT]);
  const name = element.querySelector<HTMLInputElement>("input[type=text]") as HTMLInputElement;
  name.value = "atlas";
  element.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(asked).toContainEqual(["POST", "clusters", {}, { id: "atlas" }]));
  await vi.waitFor(() =>
    expect(asked).toContainEqual(["POST", "clusters/atlas/members", {}, { add_hosts: ["node7"] }]),
  );
});
