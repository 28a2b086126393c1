// Numbers as a person writes them.

const BINARY = ["MiB", "GiB", "TiB", "PiB"];
export const NOTHING = "—";

/** MiB in the unit a person would use: 1536 → "1.5 GiB". */
export function memory(mib: number): string {
  let [value, unit] = [mib, 0];
  while (value >= 1024 && unit < BINARY.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toFixed(value < 100 ? 1 : 0).replace(/\.0$/, "")} ${BINARY[unit]}`;
}

/** An instant (ISO 8601) as local date and time, to the minute. */
export function when(instant: string): string {
  return new Date(instant).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}

/** The time of day of a moment. */
export function clock(moment: Date): string {
  return moment.toLocaleTimeString("sv-SE", { timeStyle: "short" });
}
