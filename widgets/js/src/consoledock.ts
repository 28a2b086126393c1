// Consoles below whatever room is shown: a tab for each, and they stay while one walks about.

import type { ConsoleKind } from "./consolelink.ts";
import { fill, freshId, h } from "./dom.ts";
import type { Door } from "./door.ts";
import { texts } from "./texts.ts";

/** Whether this is the bundle that a kernel sends: consoles are too large for it, and have no door there. */
declare const INLINE: boolean;

/** What a console is given to show itself in. */
export interface Pane {
  door: Door;
  machine: { id: string; name: string };
  place: HTMLElement;
  tools: HTMLElement;
  /** Say something about the connection, with a way to connect again; nothing takes it away. */
  say(words: string, again?: (() => void) | null): void;
  full(): Promise<void>;
}

export interface Shown {
  focus(): void;
  /** The place has another size. */
  fit(): void;
  close(): void;
}

interface Tab {
  key: string;
  button: HTMLButtonElement;
  head: HTMLElement;
  panel: HTMLElement;
  shown: Shown | null;
  watch: ResizeObserver | null;
}

export interface Dock {
  element: HTMLElement;
  open(machine: { id: string; name: string }, kind: ConsoleKind): void;
  close(): void;
}

export function consoleDock(door: Door): Dock {
  const tabs: Tab[] = [];
  const tablist = h("div", { role: "tablist", class: "cv-tabs", "aria-label": texts.consoles.all });
  const panels = h("div", { class: "cv-dock-panels" });
  const element = h(
    "section",
    { class: "cv-dock", "aria-label": texts.consoles.all, hidden: true },
    tablist,
    panels,
  );

  function choose(chosen: Tab): void {
    for (const tab of tabs) {
      const here = tab === chosen;
      tab.button.setAttribute("aria-selected", String(here));
      tab.button.tabIndex = here ? 0 : -1;
      tab.panel.hidden = !here;
    }
    chosen.shown?.fit();
    chosen.shown?.focus();
  }

  function open(machine: { id: string; name: string }, kind: ConsoleKind): void {
    const key = `${kind}/${machine.id}`;
    const there = tabs.find((tab) => tab.key === key);
    if (there) {
      choose(there);
      return;
    }
    const title = texts.consoles.titles[kind](machine.name);
    const place = h("div", { class: `cv-console-place cv-${kind}` });
    const tools = h("div", { class: "cv-console-tools", role: "toolbar", "aria-label": title });
    const words = h("p", { class: "cv-console-words", role: "status" }, texts.connecting);
    const panel = h(
      "div",
      { role: "tabpanel", id: freshId(), class: "cv-console-panel" },
      tools,
      words,
      place,
    );
    const button = h(
      "button",
      { type: "button", role: "tab", id: freshId(), "aria-controls": panel.id, onclick: () => choose(tab) },
      title,
    );
    panel.setAttribute("aria-labelledby", button.id);
    const shut = h(
      "button",
      {
        type: "button",
        class: "cv-quiet",
        "aria-label": `${texts.close}: ${title}`,
        onclick: () => end(tab),
      },
      "×",
    );
    tools.append(shut);
    const tab: Tab = { key, button, head: button, panel, shown: null, watch: null };
    tabs.push(tab);
    tablist.append(button);
    panels.append(panel);
    element.hidden = false;
    const pane: Pane = {
      door,
      machine,
      place,
      tools,
      say: (said, again = undefined) => {
        words.hidden = said === "";
        fill(
          words,
          said,
          again === null && ` ${texts.consoles.trying}`,
          again && h("button", { type: "button", onclick: again }, texts.again),
        );
      },
      full: () => panel.requestFullscreen(),
    };
    choose(tab);
    void load(kind).then(
      (module) => {
        if (!tabs.includes(tab)) return;
        tab.shown = module.show(pane);
        tab.watch = new ResizeObserver(() => panel.hidden || tab.shown?.fit());
        tab.watch.observe(place);
        tab.shown.focus();
      },
      (error: Error) => pane.say(error.message),
    );
  }

  function end(tab: Tab): void {
    tab.watch?.disconnect();
    tab.shown?.close();
    tabs.splice(tabs.indexOf(tab), 1);
    tab.button.remove();
    tab.panel.remove();
    element.hidden = tabs.length === 0;
    const next = tabs.at(-1);
    if (next) choose(next);
  }

  tablist.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const here = tabs.findIndex((tab) => tab.button === document.activeElement);
    const next = tabs[(here + step + tabs.length) % tabs.length];
    if (next) {
      choose(next);
      next.button.focus();
    }
  });
  return { element, open, close: () => [...tabs].forEach(end) };
}

/** Load what shows a console when the first one is opened. */
async function load(kind: ConsoleKind): Promise<{ show: (pane: Pane) => Shown }> {
  // One expression: only so the bundler leaves them out.
  return INLINE
    ? Promise.reject(new Error(texts.consoles.notHere))
    : kind === "serial"
      ? import("./serialconsole.ts")
      : import("./screenconsole.ts");
}
