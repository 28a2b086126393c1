// A short list that is read from the controller, and read anew when something of its kind happens.

import { fill, h } from "./dom.ts";
import { Problem } from "./door.ts";
import type { Page } from "./model.ts";
import { texts } from "./texts.ts";
import { type Context, settled, type View } from "./view.ts";

export interface Listed<T> {
  path: string;
  /** What is asked for beside the path; read at each reading. */
  query?: () => Record<string, string | number>;
  /** Whether an event of this type makes the list an old one. */
  concerns(type: string): boolean;
  /** Milliseconds between two readings at least, where much happens. */
  pause?: number;
  none: string;
  line(item: T): HTMLElement;
  /** What is told beside the list, such as how many there are. */
  told?: (page: Page<T>) => void;
}

export interface Listing extends View {
  refresh(): void;
}

export function listed<T>(context: Context, of: Listed<T>): Listing {
  const element = h("ul", { class: "cv-lines" }, h("li", { class: "cv-note" }, texts.loading));
  let last = "";

  async function read(): Promise<void> {
    try {
      const page = await context.door.ask<Page<T>>("GET", of.path, of.query?.() ?? {});
      of.told?.(page);
      const key = JSON.stringify(page.items);
      if (key === last) return;
      last = key;
      const lines = page.items.map(of.line);
      fill(element, ...(lines.length ? lines : [h("li", { class: "cv-note" }, of.none)]));
    } catch (error) {
      last = "";
      const hidden = error instanceof Problem && error.status === 403;
      fill(
        element,
        h("li", { class: "cv-note" }, hidden ? texts.forAdministrators : (error as Error).message),
      );
    }
  }

  const again = settled(() => void read(), of.pause);
  const forget = context.events.listen({
    event: (event) => of.concerns(event.type) && again.call(),
    reset: again.call,
    connection: () => undefined,
  });
  void read();
  return {
    element,
    refresh: () => void read(),
    close: () => {
      forget();
      again.cancel();
    },
  };
}

/** Ask for something, and say why not where it is refused; whether it was done. */
export async function tried(context: Context, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    context.toasts.fail((error as Error).message);
    return false;
  }
}
