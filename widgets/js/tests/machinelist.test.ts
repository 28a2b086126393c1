import { afterEach, expect, test, vi } from "vitest";
import { MachineList } from "../src/machinelist.ts";
import { FakeDoor, machine, until } from "./fixtures.ts";

afterEach(() => void vi.useRealTimers());

const many = (n: number) => Array.from({ length: n }, (_, each) => machine(`m-${each}`));
const changed = (id: string, more: object) => ({
  id: 1,
  type: "machine.changed",
  subject: `machine/${id}`,
  data: { ...machine(id, more) } as Record<string, unknown>,
});

test("only what somebody looks at is loaded", async () => {
  const door = new FakeDoor(many(10_000));
  const list = new MachineList(door);
  await list.reload();
  expect([list.rows.length, list.total, door.asked.length]).toEqual([200, 10_000, 1]);
  await list.reach(500);
  expect([list.rows.length, door.asked.length]).toEqual([600, 3]);
});

test("sorting, filtering and searching are the controller's, from the first page on", async () => {
  const door = new FakeDoor(many(1000));
  const list = new MachineList(door);
  await list.reload();
  await list.reach(500);
  await list.ask({ search: "higgs", status: ["failed"], sort: "-created", host: "node7" });
  expect(door.asked.at(-1)?.[2]).toMatchObject({
    search: "higgs",
    status: ["failed"],
    sort: "-created",
    host: "node7",
    cursor: null,
  });
  expect(list.rows).toHaveLength(200);
});

test("an answer to what nobody asks any more is dropped", async () => {
  const door = new FakeDoor(many(3));
  const list = new MachineList(door);
  const slow = list.ask({ search: "a" });
  door.machines = many(1);
  await list.ask({ search: "ab" });
  await slow;
  expect(list.rows).toHaveLength(1);
});

test("a change is shown without asking", async () => {
  const door = new FakeDoor(many(5));
  const list = new MachineList(door);
  await list.reload();
  list.heard(changed("m-3", { status: "failed", revision: 2 }));
  expect(list.rows[3]?.status).toBe("failed");
  expect(door.asked).toHaveLength(1);
});

test("an older state never overwrites a newer one", async () => {
  const list = new MachineList(new FakeDoor([machine("m-1", { revision: 5, status: "stopped" })]));
  await list.reload();
  list.heard(changed("m-1", { revision: 4, status: "running" }));
  expect(list.rows[0]?.status).toBe("stopped");
});

test("a deleted machine goes, the others keep their places", async () => {
  const list = new MachineList(new FakeDoor(many(5)));
  await list.reload();
  list.heard({ id: 1, type: "machine.deleted", subject: "machine/m-1", data: {} });
  list.heard(changed("m-4", { name: "last", revision: 2 }));
  expect([list.total, list.rows.map((row) => row.id)]).toEqual([4, ["m-0", "m-2", "m-3", "m-4"]]);
  expect(list.rows[3]?.name).toBe("last");
});

test("many new machines cause one new list", async () => {
  vi.useFakeTimers();
  const door = new FakeDoor(many(5));
  const list = new MachineList(door);
  await list.reload();
  door.machines = many(30);
  for (let each = 5; each < 30; each += 1) list.heard(changed(`m-${each}`, {}));
  await vi.advanceTimersByTimeAsync(2000);
  expect([list.rows.length, door.asked.length]).toEqual([30, 2]);
});

test("a failure is kept for the reader and what was shown stays", async () => {
  const door = new FakeDoor(many(5));
  const list = new MachineList(door);
  await list.reload();
  door.fails = new Error("No answer.");
  await list.reload();
  expect([list.error?.message, list.rows.length, list.loading]).toEqual(["No answer.", 5, false]);
  door.fails = null;
  void list.reload();
  await until(() => list.error === null && !list.loading);
});

test("what happens while a page is on its way makes it be asked for again", async () => {
  vi.useFakeTimers();
  const door = new FakeDoor(many(5));
  const list = new MachineList(door);
  await list.reload();
  const loading = list.reload();
  door.machines = many(5).map((each) =>
    each.id === "m-3" ? { ...each, status: "failed", revision: 2 } : each,
  );
  list.heard(changed("m-3", { status: "failed", revision: 2 }));
  await loading;
  await vi.runAllTimersAsync();
  expect(list.rows[3]?.status).toBe("failed");
});
