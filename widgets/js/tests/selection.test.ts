import { expect, test } from "vitest";
import { Selection } from "../src/selection.ts";

const order = ["a", "b", "c", "d", "e"];

test("shift chooses all from the last touched one on, in both directions", () => {
  const selection = new Selection();
  selection.toggle("d", order, false);
  selection.toggle("b", order, true);
  expect(selection.ids.sort()).toEqual(["b", "c", "d"]);
});

test("a range from one that was taken away takes away", () => {
  const selection = new Selection();
  selection.set(order);
  selection.toggle("b", order, false);
  selection.toggle("d", order, true);
  expect(selection.ids).toEqual(["a", "e"]);
});

test("what is chosen already is no news", () => {
  const selection = new Selection();
  let told = 0;
  selection.watch(() => {
    told += 1;
  });
  selection.set(["a"]);
  selection.set(["a"]);
  expect(told).toBe(1);
});
