// What a machine used: the range is chosen, the chart is loaded when it is first looked at.

import type { Column, Line } from "./chart.ts";
import { fill, h } from "./dom.ts";
import type { Usage } from "./model.ts";
import { texts } from "./texts.ts";
import { memory } from "./units.ts";
import type { Context } from "./view.ts";

const HOUR = 3600;
const RANGES = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, year: 365 * 24 * HOUR } as const;
type Range = keyof typeof RANGES;
const POINTS = 240;

/** Charts of what `path` (such as `machines/m-1`) used, below buttons for the time. */
export function usageCharts(context: Context, path: string): HTMLElement {
  const words = texts.usage;
  const place = h("div", { class: "cv-charts" });
  let drawn: { close(): void }[] = [];
  const buttons = (Object.keys(RANGES) as Range[]).map((range) =>
    h(
      "button",
      { type: "button", "aria-pressed": "false", onclick: () => void show(range) },
      words.ranges[range],
    ),
  );

  async function show(range: Range): Promise<void> {
    (Object.keys(RANGES) as Range[]).forEach((each, index) => {
      buttons[index]?.setAttribute("aria-pressed", String(each === range));
    });
    try {
      const from = new Date(Date.now() - RANGES[range] * 1000).toISOString();
      const usage = await context.door.ask<Usage>("GET", `${path}/usage`, { from, points: POINTS });
      const { chart } = await import("./chart.ts");
      for (const each of drawn) each.close();
      drawn = [];
      fill(place);
      const times = timesOf(usage);
      for (const { title, column, unit, lines } of partsOf(usage)) {
        const figure = h(
          "figure",
          { role: "group", "aria-label": title },
          h("figcaption", {}, summary(title, lines, unit)),
        );
        place.append(figure);
        drawn.push(chart(figure, times, lines, column, unit));
      }
    } catch (error) {
      fill(place, h("p", { class: "cv-note" }, (error as Error).message));
    }
  }

  const element = h(
    "details",
    { class: "cv-settings" },
    h("summary", {}, words.title),
    h("p", { class: "cv-buttons" }, ...buttons),
    place,
  );
  element.addEventListener("toggle", () => {
    if (element.open && drawn.length === 0) void show("hour");
  });
  return element;
}

interface Part {
  title: string;
  column: Column;
  unit: (value: number) => string;
  lines: Line[];
}

export function partsOf(usage: Usage): Part[] {
  const words = texts.usage;
  const rate = (value: number) => `${memory(value / (1024 * 1024))}/s`;
  return [
    {
      title: words.cpus,
      column: "cpus",
      unit: (value) => value.toFixed(2),
      lines: [{ label: words.busy, values: usage.cpus }],
    },
    {
      title: words.memory,
      column: "memory_mib",
      unit: memory,
      lines: [{ label: words.held, values: usage.memory_mib }],
    },
    {
      title: words.disk,
      column: "disk",
      unit: rate,
      lines: [
        { label: words.read, values: usage.disk_read },
        { label: words.written, values: usage.disk_written },
      ],
    },
    {
      title: words.network,
      column: "network",
      unit: rate,
      lines: [
        { label: words.received, values: usage.network_received },
        { label: words.sent, values: usage.network_sent },
      ],
    },
  ];
}

/** When each point begins, in seconds since 1970. */
export function timesOf(usage: Usage): number[] {
  const start = Date.parse(usage.start) / 1000;
  return usage.cpus.map((_, index) => start + index * usage.resolution);
}

/** A chart in words, for who does not see it. */
export function summary(title: string, lines: readonly Line[], unit: (value: number) => string): string {
  const known = lines.flatMap(({ values }) => values.filter((value) => value !== null));
  if (known.length === 0) return `${title}: ${texts.usage.nothing}`;
  const said = lines.map(({ label, values }) => {
    const last = values.filter((value) => value !== null).at(-1);
    return last === undefined ? "" : `${label} ${unit(last)}`;
  });
  return `${title}: ${said.filter(Boolean).join(", ")} ${texts.usage.atMost(unit(Math.max(...known)))}`;
}
