// A machine's definition: checked, saved, brought back, looked back at.

import { beforeAll, expect, test, vi } from "vitest";
import { Problem } from "../src/door.ts";
import { machineXml } from "../src/machinexml.ts";
import type { Context } from "../src/view.ts";

// jsdom measures nothing, which CodeMirror needs; the browser's tests type into the real one.
const editors: { doc: string; text: string; marked: unknown[]; changed: () => void }[] = [];
vi.mock("../src/xmleditor.ts", () => ({
  xmlEditor: (doc: string, label: string, changed: () => void) => {
    const element = document.createElement("div");
    element.setAttribute("aria-label", label);
    const made = { doc, text: doc, marked: [] as unknown[], changed };
    editors.push(made);
    return {
      element,
      text: () => made.text,
      mark: (faults: unknown[]) => {
        made.marked = faults;
      },
      close: () => undefined,
    };
  },
}));

beforeAll(() => {
  HTMLDialogElement.prototype.showModal ??= () => undefined;
  HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
    this.dispatchEvent(new Event("close"));
  };
});

const XML = "<domain>\n</domain>\n";
const FAULT = { rule: "host-devices", line: 2, message: "<hostdev> gives the machine something of its host" };

async function opened(answers: Record<string, unknown> = {}) {
  const asked: unknown[][] = [];
  const said: string[] = [];
  const found = { xml: XML, digest: "d1", running: null, own: false, pending: false };
  const context = {
    door: {
      ask: async (...request: unknown[]) => {
        asked.push(request);
        const key = `${request[0]} ${String(request[1]).split("/").at(-1)}`;
        const answer = answers[key] ?? (key === "GET xml" ? found : { items: [] });
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    toasts: { say: (text: string) => said.push(text), fail: (text: string) => said.push(text) },
    root: document.body,
  } as unknown as Context;
  const made = machineXml(context, "m-1");
  document.body.replaceChildren(made.element);
  (made.element as HTMLDetailsElement).open = true;
  made.element.dispatchEvent(new Event("toggle"));
  await vi.waitFor(() => expect(made.element.querySelector("form")).not.toBeNull());
  const editor = editors.at(-1);
  if (!editor) throw new Error("no editor");
  return { element: made.element, asked, said, editor };
}

function button(element: HTMLElement, name: string): HTMLButtonElement {
  const found = [...element.querySelectorAll("button")].find((each) => each.textContent === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
}

test("a check shows the difference and marks the lines that break a rule", async () => {
  const diff = "--- before\n+++ after\n-<a/>\n+<b/>\n";
  const { element, asked, editor } = await opened({
    "PUT xml": { kept: false, diff, broken: [FAULT], pending: false },
  });
  editor.text = `${XML}<!-- x -->`;
  button(element, "Check").click();
  await vi.waitFor(() => expect(element.textContent).toContain("+<b/>"));
  expect(asked.at(-1)).toEqual([
    "PUT",
    "machines/m-1/xml",
    {},
    { xml: `${XML}<!-- x -->`, digest: "d1", comment: "", preview: true },
  ]);
  expect(element.textContent).toContain("Line 2 (host-devices)");
  expect(editor.marked).toEqual([FAULT]);
  editor.changed();
  expect(element.textContent, "what was found is of another text").not.toContain("+<b/>");
});

test("what is saved for a machine that runs counts later, and is read anew", async () => {
  const { element, asked, said } = await opened({
    "PUT xml": { kept: true, diff: "+", broken: [], pending: true },
  });
  const before = asked.length;
  (element.querySelector("input") as HTMLInputElement).value = "ticket 1";
  element.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(said).toEqual(["Saved. It counts from the machine's next start on."]));
  expect(asked.find(([verb]) => verb === "PUT")?.at(3)).toMatchObject({
    comment: "ticket 1",
    preview: false,
  });
  await vi.waitFor(() => expect(asked.slice(before).map(([verb]) => verb)).toEqual(["PUT", "GET"]));
});

test("a refusal is said, and its lines are marked", async () => {
  const problem = new Problem(422, "invalid", "The definition breaks a rule.", [FAULT]);
  const { element, editor } = await opened({ "PUT xml": problem });
  element.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(element.textContent).toContain("The definition breaks a rule."));
  expect(editor.marked).toEqual([FAULT]);
});

test("the hub's own comes back after a question, and is offered only where there is another", async () => {
  const own = { xml: XML, digest: "d1", running: "<domain id='1'/>", own: true, pending: true };
  const { element, asked } = await opened({ "GET xml": own });
  expect(element.textContent).toContain("An administrator wrote it");
  expect(element.textContent).toContain("counts from its next start on");
  expect(element.textContent).toContain("What runs now");
  button(element, "Back to the hub's own").click();
  const dialog = await vi.waitFor(() => {
    const found = document.querySelector("dialog");
    if (!found) throw new Error("no dialog");
    return found;
  });
  button(dialog, "Back to the hub's own").click();
  await vi.waitFor(() => expect(asked.map(([verb]) => verb)).toContain("DELETE"));
  const plain = await opened();
  expect(() => button(plain.element, "Back to the hub's own")).toThrow("no button");
});

test("the history says who changed what and why", async () => {
  const items = [
    {
      number: 2,
      at: "2026-11-25T10:00:00Z",
      author: "ada",
      comment: "",
      overrode: [],
      own: false,
      diff: "-x\n",
    },
    {
      number: 1,
      at: "2026-11-24T10:00:00Z",
      author: "bob",
      comment: "a card",
      overrode: ["host-devices"],
      own: true,
      diff: "+x\n",
    },
  ];
  const { element } = await opened({ "GET definitions": { items } });
  const history = [...element.querySelectorAll("details")].at(-1) as HTMLDetailsElement;
  history.open = true;
  history.dispatchEvent(new Event("toggle"));
  await vi.waitFor(() => expect(history.textContent).toContain("bob: a card"));
  expect(history.textContent).toContain("against the rules: host-devices");
  expect(history.textContent).toContain("ada: back to the hub's own");
});
