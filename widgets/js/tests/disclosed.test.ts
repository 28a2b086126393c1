// What is asked for when it is opened.

import { expect, test, vi } from "vitest";
import { disclosed } from "../src/disclosed.ts";
import { h } from "../src/dom.ts";

function opened(read: () => Promise<HTMLElement>) {
  const element = disclosed("XML …", read);
  document.body.replaceChildren(element);
  element.open = true;
  element.dispatchEvent(new Event("toggle"));
  return element;
}

test("nothing is asked before somebody opens it", async () => {
  const read = vi.fn(async () => h("pre", {}, "<domain/>"));
  const element = disclosed("XML …", read);
  expect(read).not.toHaveBeenCalled();
  document.body.replaceChildren(element);
  element.open = true;
  element.dispatchEvent(new Event("toggle"));
  await vi.waitFor(() => expect(element.textContent).toContain("<domain/>"));
});

test("why it cannot be shown is said in its place", async () => {
  const element = opened(() => Promise.reject(new Error("Its host does not answer.")));
  await vi.waitFor(() => expect(element.textContent).toContain("Its host does not answer."));
});
