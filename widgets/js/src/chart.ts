// One chart of lines over time, on a canvas (uPlot), in the colours of the page.

import uPlot from "uplot";

export type Column = "cpus" | "memory_mib" | "disk" | "network";

/** One line of a chart; null where nothing was measured. */
export interface Line {
  label: string;
  values: (number | null)[];
}

const HEIGHT = 130;
const COLOURS = ["--cv-good", "--cv-busy"];

export function chart(
  place: HTMLElement,
  times: readonly number[],
  lines: readonly Line[],
  column: Column,
  unit: (value: number) => string,
): { close(): void } {
  const style = getComputedStyle(place);
  const ink = style.color;
  const grid = { stroke: colour(place, "--cv-line"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: `11px ${style.fontFamily}` };
  const made = new uPlot(
    {
      width: Math.max(place.clientWidth, 240),
      height: HEIGHT,
      scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
      series: [
        {},
        ...lines.map(({ label }, index) => ({
          label,
          stroke: colour(place, COLOURS[index] ?? "--cv-text"),
          width: 1.5,
          // Never colour alone.
          dash: index === 0 ? [] : [4, 3],
          value: (_: uPlot, value: number | null) => (value === null ? "" : unit(value)),
        })),
      ],
      axes: [
        { ...axis, values: (_, ticks, __, ___, step) => ticks.map((tick) => moment(tick, step)) },
        { ...axis, size: column === "cpus" ? 44 : 76, values: (_, ticks) => ticks.map(unit) },
      ],
      cursor: { drag: { x: false, y: false } },
    },
    [[...times], ...lines.map(({ values }) => [...values])],
    place,
  );
  const watch = new ResizeObserver(() => {
    if (place.clientWidth > 0) made.setSize({ width: place.clientWidth, height: HEIGHT });
  });
  watch.observe(place);
  return {
    close: () => {
      watch.disconnect();
      made.destroy();
    },
  };
}

/** A moment as it is said below a chart, as finely as its neighbours are near. */
function moment(seconds: number, step: number): string {
  const text = new Date(seconds * 1000).toLocaleString("sv-SE");
  if (step >= 24 * 3600) return text.slice(0, 10);
  return step < 60 ? text.slice(11) : text.slice(11, 16);
}

/** A colour of the page as a canvas takes it: what the style sheet says of it may depend on light and dark. */
function colour(place: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
