// The dashboard in a notebook: the widget's traits mirror where one is and what is chosen, so clicks and code meet.

import { dashboard } from "./dashboard.ts";
import { type Door, HttpDoor, problemOf, type Query } from "./door.ts";

/** What a widget's model offers (https://anywidget.dev/en/afm/). */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, heard: (content: Answer) => void): void;
  off(event: string, heard: (content: Answer) => void): void;
  send(content: unknown): void;
}

interface Answer {
  type: string;
  id: number;
  status: number;
  body: unknown;
}

/** The controller as the kernel reaches it, where the notebook server has no door of its own. */
export class KernelDoor implements Door {
  readonly open = null;
  readonly socket = null;
  private last = 0;
  private readonly waiting = new Map<number, (answer: Answer) => void>();

  constructor(private readonly model: WidgetModel) {
    model.on("msg:custom", this.heard);
  }

  async ask<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<T> {
    this.last += 1;
    const id = this.last;
    const answer = await new Promise<Answer>((resolve) => {
      this.waiting.set(id, resolve);
      const given = Object.entries(query).filter(
        ([, value]) => value !== null && value !== undefined && value !== "",
      );
      this.model.send({
        type: "ask",
        id,
        method,
        path,
        query: Object.fromEntries(given),
        body: body ?? null,
      });
    });
    if (answer.status >= 400) throw problemOf(answer.status, answer.body);
    return answer.body as T;
  }

  close(): void {
    this.model.off("msg:custom", this.heard);
  }

  private heard = (content: Answer): void => {
    if (content.type !== "answer") return;
    this.waiting.get(content.id)?.(content);
    this.waiting.delete(content.id);
  };
}

/** Show the dashboard in `el`; `base` is the door of the notebook server, null where there is none. */
export function render({
  model,
  el,
  base,
}: {
  model: WidgetModel;
  el: HTMLElement;
  base: string | null;
}): () => void {
  const kernel = base === null ? new KernelDoor(model) : null;
  const door = kernel ?? new HttpDoor(base as string);
  const machine = () => (model.get("machine") as string) || null;
  const shown = dashboard(door, { room: model.get("room") as string, machine: machine() }, (place) => {
    mirror(model, { room: place.room, machine: place.machine ?? "" });
  });
  const fromClicks = () => mirror(model, { selection: shown.selection.ids });
  const fromCode = () => shown.selection.set(model.get("selection") as string[]);
  const goes = () => shown.go({ room: model.get("room") as string, machine: machine() });
  fromCode();
  const forget = shown.selection.watch(fromClicks);
  model.on("change:selection", fromCode);
  model.on("change:room", goes);
  model.on("change:machine", goes);
  el.append(shown.element);
  return () => {
    forget();
    model.off("change:selection", fromCode);
    model.off("change:room", goes);
    model.off("change:machine", goes);
    shown.close();
    kernel?.close();
  };
}

function mirror(model: WidgetModel, values: Record<string, unknown>): void {
  let changed = false;
  for (const [name, value] of Object.entries(values)) {
    if (JSON.stringify(model.get(name)) === JSON.stringify(value)) continue;
    model.set(name, value);
    changed = true;
  }
  if (changed) model.save_changes();
}
