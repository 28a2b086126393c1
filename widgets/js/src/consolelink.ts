// A console's connection: a ticket, a socket, and another one when the first breaks.

import type { Door } from "./door.ts";
import { Problem } from "./door.ts";
import { texts } from "./texts.ts";

export type ConsoleKind = "serial" | "vnc";

/** Where a viewer of a serial console is, so that it sees nothing twice. */
export interface Position {
  stream: string;
  offset: number;
}

interface Ticket {
  socket: string;
  ticket: string;
  protocol: string;
}

/** Codes after which it may go well at once: the controller is restarted, the way there broke, we were slow. */
const PASSING = new Set([1001, 1005, 1006, 4008]);

export const WAITS = { first: 1000, longest: 10_000, most: 20 };

export interface Heard {
  /** There is a socket, not open yet: whoever shows the console takes it over. */
  socket(socket: WebSocket): void;
  /** It is over for now; `again` is null where it is tried again by itself. */
  ended(why: string, again: (() => void) | null): void;
}

/** Keeps a console connected, until `close`. */
export class ConsoleLink {
  private current: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private closed = false;

  constructor(
    private readonly door: Door,
    private readonly machine: string,
    private readonly kind: ConsoleKind,
    private readonly heard: Heard,
    private readonly after: () => Position | null = () => null,
  ) {}

  async open(): Promise<void> {
    try {
      if (!this.door.socket) throw new Problem(404, "", texts.consoles.notHere);
      const path = `machines/${encodeURIComponent(this.machine)}/console`;
      const request = { kind: this.kind, view_only: false, after: this.after() };
      const ticket = await this.door.ask<Ticket>("POST", path, {}, request);
      if (this.closed) return;
      const socket = this.door.socket(ticket.socket.replace(/^\//, ""), [
        ticket.protocol,
        `ticket.${ticket.ticket}`,
      ]);
      socket.binaryType = "arraybuffer";
      this.current = socket;
      // Not when it opens: one that is closed at once would be tried again without a pause.
      socket.addEventListener("message", () => {
        this.failures = 0;
      });
      socket.addEventListener("close", (event) => this.broke(event));
      this.heard.socket(socket);
    } catch (error) {
      if (!this.closed) this.over((error as Error).message, error instanceof Problem && error.passes);
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.current?.close();
  }

  private broke(event: CloseEvent): void {
    if (this.closed) return;
    this.over(event.reason || texts.consoles.broke, PASSING.has(event.code));
  }

  private over(why: string, passes: boolean): void {
    if (!passes || this.failures >= WAITS.most) {
      this.failures = 0;
      this.heard.ended(why, () => void this.open());
      return;
    }
    this.heard.ended(why, null);
    const wait = Math.min(WAITS.longest, WAITS.first * 2 ** this.failures);
    this.failures += 1;
    this.timer = setTimeout(() => void this.open(), wait);
  }
}
