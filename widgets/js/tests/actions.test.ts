import { expect, test } from "vitest";
import { ACTIONS, asCell, asPython, perform, reasonAgainst } from "../src/actions.ts";
import { texts } from "../src/texts.ts";
import { FakeDoor, machine } from "./fixtures.ts";

const action = (id: string) => {
  const found = ACTIONS.find((each) => each.id === id);
  if (!found) throw new Error(id);
  return found;
};

test.each([
  ["start", {}, texts.reasons.running],
  ["shutdown", {}, null],
  ["shutdown", { status: "stopped", actions: ["start"] }, texts.reasons.notRunning],
  ["start", { status: "stopped", actions: ["start"] }, null],
  ["delete", { protected: true, actions: ["shutdown"] }, texts.reasons.protected],
  ["shutdown", { power: "unknown", actions: [] }, texts.reasons.unknown],
  ["start", { status: "deleting", actions: [] }, texts.reasons.busy("Being deleted")],
  ["shutdown", { actions: [] }, texts.reasons.notNow],
] as const)("%s with %j: %s", (id, more, reason) => {
  expect(reasonAgainst(action(id), machine("m-1", more as object))).toBe(reason);
});

test("every action is a request of the API", async () => {
  const door = new FakeDoor();
  for (const each of ACTIONS) await perform(door, each, machine("m-1"));
  expect(door.asked.map(([method, path]) => `${method} ${path}`)).toEqual([
    "POST machines/m-1/start",
    "POST machines/m-1/shutdown",
    "POST machines/m-1/reboot",
    "POST machines/m-1/suspend",
    "POST machines/m-1/resume",
    "POST machines/m-1/store",
    "POST machines/m-1/move",
    "POST machines/m-1/lock",
    "POST machines/m-1/unlock",
    "POST machines/m-1/reset",
    "POST machines/m-1/poweroff",
    "DELETE machines/m-1",
  ]);
});

test("the Python of one is a line, of many a loop", () => {
  expect(asPython(action("start"), ["m-1"])).toBe('Client().machines.start("m-1", wait=True)');
  expect(asPython(action("delete"), ["m-1", "m-2"])).toContain('for machine in ["m-1", "m-2"]:');
  expect(asCell("x")).toBe("from cernvmapi.client import Client\n\nx");
});

test("only what is of use is shown", () => {
  const ids = (more: object) =>
    ACTIONS.filter((each) => each.shown(machine("m-1", more))).map((each) => each.id);
  expect(ids({})).not.toContain("resume");
  expect(ids({})).not.toContain("unlock");
  expect(ids({ power: "paused" })).toContain("resume");
  expect(ids({ power: "paused" })).not.toContain("suspend");
  const lock = { author: "carol", at: "", reason: "an incident" };
  expect(ids({ lock })).toContain("unlock");
  expect(reasonAgainst(action("start"), machine("m-1", { lock, actions: ["unlock"] }))).toBe(
    "carol locked it: an incident.",
  );
  expect(asPython(action("lock"), ["m-1"])).toBe('Client().machines.lock("m-1")');
});

test("what cannot be undone has the name typed", () => {
  expect(ACTIONS.filter((each) => each.typed).map((each) => each.id)).toEqual(["delete"]);
});
