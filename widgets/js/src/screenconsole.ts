/*! With noVNC, Copyright (c) The noVNC authors, under the MPL 2.0: https://github.com/novnc/noVNC */
// The screen, keyboard and pointer of a machine, by VNC.

import RFB from "@novnc/novnc";
import type { Pane, Shown } from "./consoledock.ts";
import { ConsoleLink } from "./consolelink.ts";
import { h } from "./dom.ts";
import { texts } from "./texts.ts";

/** X11's keysyms of what a browser or the desktop would keep for itself. */
const CONTROL = 0xffe3;
const ALT = 0xffe9;
const F1 = 0xffbe;

export function show(pane: Pane): Shown {
  let screen: RFB | null = null;
  let scaled = true;
  let viewOnly = false;
  const words = texts.consoles;

  function settings(): void {
    if (!screen) return;
    screen.scaleViewport = scaled;
    screen.viewOnly = viewOnly;
  }

  function chord(...keys: number[]): void {
    for (const key of keys) screen?.sendKey(key, null, true);
    for (const key of keys.reverse()) screen?.sendKey(key, null, false);
  }

  const scale = toggle(words.scale, true, (on) => {
    scaled = on;
    settings();
  });
  const watch = toggle(words.viewOnly, false, (on) => {
    viewOnly = on;
    settings();
  });
  const keys = h("select", { "aria-label": words.keys }, h("option", { value: "" }, words.keys));
  const chords: [string, number[]][] = [
    ...Array.from({ length: 6 }, (_, n): [string, number[]] => [
      `Ctrl-Alt-F${n + 1}`,
      [CONTROL, ALT, F1 + n],
    ]),
    ["Ctrl-Alt-Backspace", [CONTROL, ALT, 0xff08]],
    ["Alt-Tab", [ALT, 0xff09]],
    ["Esc", [0xff1b]],
    ["Print", [0xff61]],
  ];
  keys.append(...chords.map(([name], place) => h("option", { value: place }, name)));
  keys.addEventListener("change", () => {
    const chosen = chords[Number(keys.value)];
    if (keys.value !== "" && chosen) chord(...chosen[1]);
    keys.value = "";
    screen?.focus();
  });
  const text = h("input", { type: "text", "aria-label": words.typeText, placeholder: words.typeText });
  const form = h("form", { class: "cv-type" }, text, h("button", { type: "submit" }, words.type));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const path = `machines/${encodeURIComponent(pane.machine.id)}/keys`;
    pane.door.ask("POST", path, {}, { text: text.value, keys: [] }).then(
      () => {
        text.value = "";
        screen?.focus();
      },
      (error: Error) => pane.say(error.message),
    );
  });
  pane.tools.append(
    h(
      "button",
      { type: "button", title: words.ctrlAltDel, onclick: () => screen?.sendCtrlAltDel() },
      "Ctrl-Alt-Del",
    ),
    keys,
    form,
    scale,
    watch,
    h("button", { type: "button", onclick: () => void pane.full() }, words.full),
  );

  const link = new ConsoleLink(pane.door, pane.machine.id, "vnc", {
    socket: (socket) => {
      screen?.disconnect();
      pane.place.replaceChildren();
      screen = new RFB(pane.place, socket, { shared: true });
      screen.background = "transparent";
      screen.addEventListener("connect", () => pane.say(""));
      settings();
    },
    ended: (why, again) => pane.say(why, again),
  });
  void link.open();
  return {
    focus: () => screen?.focus(),
    fit: settings,
    close: () => {
      link.close();
      screen?.disconnect();
    },
  };
}

function toggle(name: string, on: boolean, turned: (on: boolean) => void): HTMLElement {
  const box = h("input", { type: "checkbox", checked: on });
  box.addEventListener("change", () => turned(box.checked));
  return h("label", {}, box, ` ${name}`);
}
