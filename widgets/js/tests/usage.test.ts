// What a machine used, as charts and in words.

import { expect, test } from "vitest";
import type { Usage } from "../src/model.ts";
import { partsOf, summary, timesOf } from "../src/usage.ts";

const USAGE: Usage = {
  subject: "machine/m-1",
  start: "2026-11-25T10:00:00Z",
  end: "2026-11-25T10:01:30Z",
  resolution: 30,
  cpus: [0.5, 1.5, null],
  memory_mib: [512, 2048, null],
  disk_read: [0, 1048576, null],
  disk_written: [0, 0, null],
  network_received: [null, null, null],
  network_sent: [null, null, null],
};

test("each point has its time", () => {
  expect(timesOf(USAGE)).toEqual([1795600800, 1795600830, 1795600860]);
});

test("a chart says in words what it shows", () => {
  const said = partsOf(USAGE).map(({ title, lines, unit }) => summary(title, lines, unit));
  expect(said).toEqual([
    "Processors: busy 1.50 (at most 1.50)",
    "Memory: held 2 GiB (at most 2 GiB)",
    "Disk: read 1 MiB/s, written 0 MiB/s (at most 1 MiB/s)",
    "Network: not measured",
  ]);
});
