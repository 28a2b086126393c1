// Hosts: what is done with them, and how one is attached.

import { expect, test, vi } from "vitest";
import { addHost, summary } from "../src/addhost.ts";
import { commandsOf, hostPanel } from "../src/hostpanel.ts";
import type { Host, HostReport } from "../src/model.ts";
import type { Context } from "../src/view.ts";

const HOST: Host = {
  id: "node7",
  name: "Rack 7",
  uris: ["qemu+tls://node7/system"],
  level: "notebook",
  alive: true,
  unknown_since: null,
  reason: "",
  maintenance: false,
  arch: "x86_64",
  cpus: 64,
  memory_mib: 262144,
  vcpus_promised: 3,
  memory_promised_mib: 4096,
  machines: 2,
  acceleration: "kvm",
  source: "api",
};
const REPORT: HostReport = {
  reachable: true,
  reason: "",
  level: "notebook",
  hostname: "node7.example.org",
  cpus: 64,
  memory_mib: 262144,
  domains: 3,
  running: 1,
};

function place(answer: unknown = {}) {
  const asked: unknown[][] = [];
  const said: string[] = [];
  document.body.replaceChildren();
  HTMLDialogElement.prototype.showModal ??= () => undefined;
  HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
    this.dispatchEvent(new Event("close"));
  };
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        return answer;
      },
    },
    toasts: { say: (text: string) => said.push(text), fail: (text: string) => said.push(`! ${text}`) },
    root: document.body,
  } as unknown as Context;
  return { context, asked, said };
}

const labels = (host: Partial<Host>) => commandsOf({ ...HOST, ...host }).map((each) => each.label);

test("what is offered depends on how the host is", () => {
  expect(labels({})).toEqual(["Into maintenance", "Drain", "Detach"]);
  expect(labels({ maintenance: true, machines: 0 })).toEqual(["End maintenance", "Detach"]);
  expect(labels({ alive: false, source: "configuration" })).toEqual(["Into maintenance", "Evacuate"]);
});

test("only who typed its name says that a dead host is off", () => {
  const evacuate = commandsOf({ ...HOST, alive: false }).find((each) => each.label === "Evacuate");
  expect(evacuate).toMatchObject({ dangerous: true, typed: true });
  expect(evacuate?.request).toEqual(["POST", "hosts/node7/evacuate", { is_off: true }]);
  expect(evacuate?.python).toBe('Client().hosts.evacuate("node7", is_off=True)');
});

test("a host is taken into maintenance with one click", async () => {
  const { context, asked, said } = place();
  const done = vi.fn();
  const panel = hostPanel(context, done);
  document.body.append(panel.element);
  panel.show(HOST);
  expect(panel.element.textContent).toContain("2 machines");
  (panel.element.querySelector(".cv-command button") as HTMLButtonElement).click();
  await vi.waitFor(() => expect(done).toHaveBeenCalled());
  expect(asked).toEqual([["PATCH", "hosts/node7", {}, { maintenance: true }]]);
  expect(said).toHaveLength(1);
  panel.show(null);
  expect(panel.element.hidden).toBe(true);
});

test("a connection is tried before the host is attached", async () => {
  const { context, asked } = place(REPORT);
  const done = vi.fn();
  addHost(context, done);
  const [uri, credentials, name] = [...document.querySelectorAll<HTMLInputElement>("input[type=text]")];
  if (!uri || !credentials || !name) throw new Error("fields are missing");
  uri.value = "qemu+tls://node7/system";
  credentials.value = "lab";
  [...document.querySelectorAll("button")].find((each) => each.textContent === "Try it")?.click();
  await vi.waitFor(() => expect(name.value).toBe("node7"));
  expect(asked[0]).toEqual([
    "POST",
    "hosts/test",
    {},
    { uri: "qemu+tls://node7/system", credentials: "lab" },
  ]);
  document.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(done).toHaveBeenCalled());
  expect(asked[1]).toEqual([
    "POST",
    "hosts",
    {},
    { name: "node7", uris: ["qemu+tls://node7/system"], reached: true, credentials: "lab" },
  ]);
});

test("what answers is said in a sentence, and why nothing does", () => {
  expect(summary(REPORT)).toContain("node7.example.org answers");
  expect(summary({ ...REPORT, reachable: false, reason: "Connection refused." })).toBe("Connection refused.");
});
