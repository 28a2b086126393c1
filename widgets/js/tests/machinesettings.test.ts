// What of a machine can be changed in place.

import { expect, test, vi } from "vitest";
import { inPython, machineSettings, read, written } from "../src/machinesettings.ts";
import type { Machine } from "../src/model.ts";
import type { Context } from "../src/view.ts";
import { machine } from "./fixtures.ts";

function opened(answer: Partial<Machine> = {}) {
  const asked: unknown[][] = [];
  const said: string[] = [];
  const shown = machine("m-1", { name: "analysis", labels: { group: "higgs" }, notes: "Mine." });
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        if (request[1] === "flavors")
          return { items: [{ id: "large", title: "Large", vcpus: 4, memory_mib: 8192 }] };
        return { ...shown, ...answer };
      },
    },
    toasts: { say: (text: string) => said.push(text), fail: (text: string) => said.push(`! ${text}`) },
  } as unknown as Context;
  const settings = machineSettings(context, "m-1", () => said.push("done"));
  settings.draw(shown);
  document.body.replaceChildren(settings.element);
  const find = <T extends HTMLElement>(selector: string) =>
    settings.element.querySelector(selector) as unknown as T;
  const submit = () => find("form").dispatchEvent(new Event("submit", { cancelable: true }));
  const type = (selector: string, text: string) => {
    find<HTMLInputElement>(selector).value = text;
    find(selector).dispatchEvent(new Event("input", { bubbles: true }));
  };
  return { settings, asked, said, find, submit, type, shown };
}

test("only what is different is sent", async () => {
  const { asked, said, submit, type, find } = opened();
  type("input[type=text]", "spectrum");
  find<HTMLInputElement>("input[type=checkbox]").checked = true;
  submit();
  await vi.waitFor(() => expect(said).toContain("done"));
  expect(asked).toEqual([["PATCH", "machines/m-1", {}, { name: "spectrum", protected: true }]]);
});

test("nothing is sent where nothing is different", () => {
  const { asked, said, submit } = opened();
  submit();
  expect(asked).toEqual([]);
  expect(said).toHaveLength(1);
});

test("a size is chosen among the flavors, and who changes one that runs is told when it has it", async () => {
  const pending = { flavor: "large", vcpus: 4, memory_mib: 8192 };
  const { asked, said, submit, settings, find } = opened({ pending });
  (settings.element as HTMLDetailsElement).open = true;
  settings.element.dispatchEvent(new Event("toggle"));
  await vi.waitFor(() => expect(find<HTMLSelectElement>("select").options).toHaveLength(2));
  expect(find<HTMLSelectElement>("select").options[1]?.text).toContain("Large (4 CPUs");
  find<HTMLSelectElement>("select").value = "large";
  submit();
  await vi.waitFor(() => expect(said).toContain("done"));
  expect(asked.at(-1)?.[3]).toEqual({ flavor: "large" });
  expect(said[0]).toContain("next start");
});

test("what somebody types is not lost when the machine changes meanwhile", () => {
  const { settings, shown, find, type } = opened();
  type("textarea", "A longer thought");
  settings.draw({ ...shown, notes: "Somebody else's", name: "renamed" });
  expect(find<HTMLTextAreaElement>("textarea").value).toBe("A longer thought");
});

test("labels are typed and read as they are written", () => {
  const labels = { group: "higgs", url: "a=b", urgent: "" };
  expect(read(written(labels))).toEqual(labels);
  expect(read(" , ")).toEqual({});
});

test("values are copied as Python writes them", () => {
  expect(inPython(true)).toBe("True");
  expect(inPython({ a: 'b"c' })).toBe('{"a": "b\\"c"}');
});
