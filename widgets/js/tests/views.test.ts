import { afterEach, beforeEach, expect, test } from "vitest";
import { HttpDoor, search } from "../src/door.ts";
import { MachineList } from "../src/machinelist.ts";
import { Selection } from "../src/selection.ts";
import { detailOf, STATUSES, stateOf, stateOfStatus } from "../src/states.ts";
import { machineTable, ROW } from "../src/table.ts";
import { tree } from "../src/tree.ts";
import { memory } from "../src/units.ts";
import { FakeDoor, machine, until } from "./fixtures.ts";

beforeEach(() => {
  document.body.replaceChildren();
});
afterEach(() => {
  // biome-ignore lint/suspicious/noDocumentCookie: the way in which the server gives it
  document.cookie = "_xsrf=; max-age=0";
});

function press(element: Element, key: string, more: KeyboardEventInit = {}): void {
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
}

async function shown(machines = [machine("m-1"), machine("m-2"), machine("m-3")]) {
  const list = new MachineList(new FakeDoor(machines));
  const selection = new Selection();
  const opened: string[] = [];
  const table = machineTable(
    list,
    selection,
    (each) => opened.push(each.id),
    () => null,
  );
  document.body.append(table.element);
  await list.reload();
  const rows = () => [...table.element.querySelectorAll<HTMLElement>("[data-machine]")];
  await until(() => rows().length > 0);
  return { list, selection, opened, rows, grid: table.element.querySelector("[role=grid]") as HTMLElement };
}

test("of ten thousand machines only the visible rows exist", async () => {
  const all = Array.from({ length: 10_000 }, (_, each) => machine(`m-${each}`));
  const { grid, rows, list } = await shown(all);
  expect(rows().length).toBeLessThan(60);
  expect(grid.getAttribute("aria-rowcount")).toBe("10001");
  grid.scrollTop = 5000 * ROW;
  grid.dispatchEvent(new Event("scroll"));
  await until(() => rows().some((row) => row.dataset.machine === "m-5000"));
  expect(list.rows.length).toBeLessThan(5400);
  expect(rows().length).toBeLessThan(60);
});

test("the table is used with the keyboard alone", async () => {
  const { grid, selection, opened } = await shown();
  press(grid, "ArrowDown");
  press(grid, " ");
  press(grid, "ArrowDown", { shiftKey: true });
  expect(selection.ids).toEqual(["m-2", "m-3"]);
  press(grid, "Enter");
  expect(opened).toEqual(["m-3"]);
});

test("a click on a box chooses, on the rest of the row opens", async () => {
  const { rows, selection, opened } = await shown();
  rows()[0]?.querySelector("input")?.click();
  expect([selection.ids, opened]).toEqual([["m-1"], []]);
  rows()[2]
    ?.querySelector(".cv-check")
    ?.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
  expect(selection.ids).toEqual(["m-1", "m-2", "m-3"]);
  rows()[1]?.click();
  expect(opened).toEqual(["m-2"]);
});

test("a name is text and never markup", async () => {
  const { rows } = await shown([machine("m-1", { name: "<img src=x onerror=alert(1)>" })]);
  expect(rows()[0]?.querySelector("img")).toBeNull();
  expect(rows()[0]?.textContent).toContain("<img src=x");
});

test("the tree is walked with the arrows", () => {
  const chosen: string[] = [];
  const made = tree("Places", "all", (id) => chosen.push(id));
  document.body.append(made.element);
  made.show([
    { id: "all", label: "All" },
    {
      id: "hosts",
      label: "Hosts",
      children: [
        { id: "h1", label: "node1" },
        { id: "h2", label: "node2" },
      ],
    },
  ]);
  const focused = () => (document.activeElement as HTMLElement).dataset.branch;
  (made.element.querySelector('[data-branch="all"]') as HTMLElement).focus();
  press(made.element, "ArrowDown");
  press(made.element, "ArrowLeft");
  expect(made.element.querySelector('[data-branch="hosts"]')?.getAttribute("aria-expanded")).toBe("false");
  press(made.element, "ArrowRight");
  press(made.element, "ArrowRight");
  expect(focused()).toBe("h1");
  press(made.element, "n");
  press(made.element, "Enter");
  expect(chosen).toEqual(["h2"]);
  press(made.element, "ArrowLeft");
  expect(focused()).toBe("hosts");
});

test("the page's token goes with every request", async () => {
  // biome-ignore lint/suspicious/noDocumentCookie: the way in which the server gives it
  document.cookie = "_xsrf=2%7Cabc";
  const asked: [string, RequestInit][] = [];
  globalThis.fetch = (async (url: string, init: RequestInit) => {
    asked.push([url, init]);
    return new Response('{"id":"o-1"}', { status: 202 });
  }) as typeof fetch;
  await new HttpDoor("/services/cernvm/api/v1/").ask("POST", "machines/m-1/start", {}, {});
  expect(asked[0]?.[0]).toBe("/services/cernvm/api/v1/machines/m-1/start");
  expect(asked[0]?.[1].headers).toMatchObject({ "X-XSRFToken": "2|abc" });
});

test("a refusal is said in the controller's words", async () => {
  globalThis.fetch = (async () =>
    new Response('{"code":"conflict","status":409,"detail":"It is running."}', {
      status: 409,
    })) as typeof fetch;
  await expect(new HttpDoor("/").ask("POST", "x")).rejects.toThrow("It is running.");
  globalThis.fetch = (async () => new Response("<html>", { status: 503 })) as typeof fetch;
  await expect(new HttpDoor("/").ask("GET", "x")).rejects.toThrow("does not answer");
});

test("a query leaves out what is not asked for", () => {
  expect(search({ status: ["running", "failed"], host: null, search: "", limit: 5 })).toBe(
    "?status=running%2Cfailed&limit=5",
  );
});

test("every status has a word and a shape of its own", () => {
  const states = STATUSES.map(stateOfStatus);
  expect(new Set(states.map((each) => each.text)).size).toBe(STATUSES.length);
  expect(new Set(states.map((each) => each.icon)).size).toBe(STATUSES.length);
});

test.each(STATUSES)("a machine whose host is out of reach is unknown, not %s", (status) => {
  const unknown = machine("m-1", { status, power: "unknown" });
  expect(stateOf(unknown).text).toBe("Unknown");
  expect(detailOf(unknown)).toBe("Its host local does not answer.");
});

test("memory is given in the unit that a person would use", () => {
  expect([256, 1024, 1536, 102_400, 3_145_728].map(memory)).toEqual([
    "256 MiB",
    "1 GiB",
    "1.5 GiB",
    "100 GiB",
    "3 TiB",
  ]);
});
