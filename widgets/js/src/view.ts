// What every view gets from the page that it stands on.

import type { ConsoleKind } from "./consolelink.ts";
import type { Door } from "./door.ts";
import type { EventStream } from "./events.ts";
import type { Toasts } from "./feedback.ts";
import type { Selection } from "./selection.ts";

export interface Context {
  door: Door;
  events: EventStream;
  toasts: Toasts;
  /** The chosen machines; Python sees and sets them too. */
  selection: Selection;
  /** Where dialogs are put. */
  root: HTMLElement;
  /** Go to a machine, whatever is shown now. */
  openMachine(id: string): void;
  /** Open a machine's console, which stays while one walks about. */
  openConsole(machine: { id: string; name: string }, kind: ConsoleKind): void;
  /** Which machine is shown beside the table; for the page's address and for Python. */
  opened(id: string | null): void;
}

/** Something that is shown until it is closed. */
export interface View {
  element: HTMLElement;
  close(): void;
}

/** Call `work` when calls have stopped for a moment, and at the latest after a few of those. */
export function settled(work: () => void, milliseconds = 400): { call: () => void; cancel: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    call: () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        work();
      }, milliseconds);
    },
    cancel: () => clearTimeout(timer),
  };
}
