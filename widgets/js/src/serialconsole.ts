/*! With xterm.js, Copyright (c) The xterm.js authors, under the MIT licence: https://github.com/xtermjs/xterm.js */
// The serial console of a machine, as a terminal.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { Pane, Shown } from "./consoledock.ts";
import { ConsoleLink, type Position } from "./consolelink.ts";
import { h } from "./dom.ts";
import { texts } from "./texts.ts";

const LARGEST = 32 * 1024;

export function show(pane: Pane): Shown {
  let position: Position | null = null;
  let socket: WebSocket | null = null;
  const terminal = new Terminal({
    cursorBlink: true,
    scrollback: 5000,
    screenReaderMode: true,
    fontFamily: "ui-monospace, monospace",
    fontSize: 13,
  });
  const fitting = new FitAddon();
  terminal.loadAddon(fitting);
  opened(terminal, pane.place);
  terminal.onData((text) => {
    for (let start = 0; start < text.length; start += LARGEST) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(text.slice(start, start + LARGEST));
    }
  });
  pane.tools.append(
    h("button", { type: "button", onclick: () => terminal.clear() }, texts.consoles.clear),
    h("button", { type: "button", onclick: () => void pane.full() }, texts.consoles.full),
  );
  const link = new ConsoleLink(
    pane.door,
    pane.machine.id,
    "serial",
    {
      socket: (made) => {
        socket = made;
        made.addEventListener("message", (event: MessageEvent<string | ArrayBuffer>) => {
          if (typeof event.data === "string") {
            const greeting = JSON.parse(event.data) as Position & { truncated: boolean };
            // Another boot, or more than is kept: what is on the screen is not what comes before.
            if (greeting.stream !== position?.stream || greeting.truncated) terminal.reset();
            position = { stream: greeting.stream, offset: greeting.offset };
            pane.say("");
          } else {
            terminal.write(new Uint8Array(event.data));
            if (position) position = { ...position, offset: position.offset + event.data.byteLength };
          }
        });
      },
      ended: (why, again) => pane.say(why, again),
    },
    () => position,
  );
  void link.open();
  return {
    focus: () => terminal.focus(),
    fit: () => fitting.fit(),
    close: () => {
      link.close();
      terminal.dispose();
    },
  };
}

/** Put the terminal into its place; the styles that it makes are ours, and say so to a strict page. */
function opened(terminal: Terminal, place: HTMLElement): void {
  const nonce = document.querySelector<HTMLElement>("link[nonce]")?.nonce;
  const make = document.createElement;
  document.createElement = ((tag: string, options?: ElementCreationOptions) => {
    const element = make.call(document, tag, options);
    if (tag === "style" && nonce) element.nonce = nonce;
    return element;
  }) as typeof document.createElement;
  try {
    terminal.open(place);
  } finally {
    document.createElement = make;
  }
}
