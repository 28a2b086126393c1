// All rooms under one roof, with one stream of events, one place for toasts and one word on the connection.

import { admin } from "./admin.ts";
import { consoleDock } from "./consoledock.ts";
import { fill, freshId, h, icon } from "./dom.ts";
import type { Door } from "./door.ts";
import { type Connection, EventStream } from "./events.ts";
import { Toasts } from "./feedback.ts";
import { infrastructure } from "./infrastructure.ts";
import { overview } from "./overview.ts";
import { repository } from "./repository.ts";
import { Selection } from "./selection.ts";
import { texts } from "./texts.ts";
import { clock } from "./units.ts";
import type { Context, View } from "./view.ts";

interface Room {
  id: string;
  title: string;
  open(context: Context, machine: string | null): View;
}

/** The rooms, in their order; further ones are added here. */
export const ROOMS: readonly Room[] = [
  { id: "dashboard", title: texts.dashboard, open: overview },
  { id: "infrastructure", title: texts.infrastructure, open: infrastructure },
  { id: "repository", title: texts.repository.title, open: repository },
  { id: "admin", title: texts.admin.title, open: admin },
];

/** Where a person is: told when it changes, and settable. */
export interface Place {
  room: string;
  machine: string | null;
}

export interface Shown extends View {
  selection: Selection;
  go(place: Place): void;
}

/** The dashboard; `moved` hears where the person went. */
export function dashboard(
  door: Door,
  start: Partial<Place> = {},
  moved: (place: Place) => void = () => undefined,
): Shown {
  const events = new EventStream(door);
  const toasts = new Toasts();
  const selection = new Selection();
  const panel = h("div", { class: "cv-room", role: "tabpanel", id: freshId() });
  const dock = consoleDock(door);
  const connection = h("span", { class: "cv-connection", role: "status" });
  let place: Place = { room: "", machine: null };
  let view: View | null = null;

  const tabs = ROOMS.map((room) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: freshId(),
        "aria-controls": panel.id,
        onclick: () => go({ room: room.id, machine: null }),
      },
      room.title,
    ),
  );
  const tablist = h("div", { role: "tablist", class: "cv-tabs", "aria-label": texts.rooms }, ...tabs);
  const element = h(
    "div",
    { class: "cernvm" },
    h("div", { class: "cv-top" }, tablist, connection),
    panel,
    dock.element,
    toasts.element,
  );
  tablist.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next =
      tabs[(tabs.indexOf(document.activeElement as HTMLButtonElement) + step + tabs.length) % tabs.length];
    next?.focus();
    next?.click();
    event.stopPropagation();
  });

  const context: Context = {
    door,
    events,
    toasts,
    selection,
    root: element,
    openConsole: (machine, kind) => dock.open(machine, kind),
    openMachine: (machine) => go({ room: "infrastructure", machine }),
    opened: (machine) => {
      place = { ...place, machine };
      moved(place);
    },
  };

  function go(to: Place): void {
    if (to.room === place.room && to.machine === place.machine) return;
    const room = ROOMS.find((each) => each.id === to.room) ?? ROOMS[0];
    if (!room) return;
    view?.close();
    place = { room: room.id, machine: to.machine };
    view = room.open(context, to.machine);
    tabs.forEach((tab, index) => {
      const here = ROOMS[index] === room;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
      if (here) panel.setAttribute("aria-labelledby", tab.id);
    });
    fill(panel, view.element);
    moved(place);
  }

  const forget = events.listen({
    event: () => undefined,
    reset: () => undefined,
    connection: (now) => fill(connection, ...wordsOn(now, () => events.start())),
  });
  go({ room: start.room || "dashboard", machine: start.machine ?? null });
  events.start();
  return {
    element,
    selection,
    go,
    close: () => {
      forget();
      events.stop();
      view?.close();
      dock.close();
    },
  };
}

function wordsOn(now: Connection, again: () => void): (Node | string)[] {
  switch (now.state) {
    case "live":
      return [icon("●", "good"), words(texts.live)];
    case "polling":
      return [icon("◔", "busy"), words(texts.polling)];
    case "connecting":
      return [icon("◔", "busy"), words(texts.connecting)];
    case "paused":
      return [icon("❚❚"), words(texts.paused)];
    case "gone":
      return [icon("✖", "bad"), words(texts.gone)];
    case "lost":
      return [icon("▲", "warn"), words(texts.lost(clock(now.since)))];
    case "given-up":
      return [
        icon("✖", "bad"),
        words(texts.givenUp(clock(now.since))),
        h("button", { type: "button", onclick: again }, texts.again),
      ];
  }
}

function words(text: string): HTMLElement {
  return h("span", {}, text);
}
