// One stream of events for all views of a page: resumed where it ended, polled where there is none.

import type { Door } from "./door.ts";
import { Problem } from "./door.ts";
import type { Happening } from "./model.ts";
import { Reader } from "./sse.ts";

export type Connection =
  | { state: "connecting" | "live" | "polling" | "paused" | "gone" }
  | { state: "lost" | "given-up"; since: Date };

export interface Listener {
  /** Something happened. */
  event(event: Happening): void;
  /** What happened in between is not known: ask for everything again. */
  reset(): void;
  connection(connection: Connection): void;
}

export const TIMES = {
  /** Milliseconds of the first pause after a loss, and of the longest. */
  firstPause: 1000,
  longestPause: 30_000,
  /** Between two polls where there is no stream. */
  poll: 5000,
  /** Without a sign of life (the controller gives one every 15 s) a stream is dead. */
  silence: 45_000,
  /** A stream that lasted so long had not failed. */
  lasting: 5000,
  /** After this long without the controller nobody looks at the page any more. */
  giveUp: 10 * 60_000,
};

/** Follows what happens, until `stop`. */
export class EventStream {
  private readonly listeners = new Set<Listener>();
  private now: Connection = { state: "connecting" };
  private lastId = "";
  private stopped = true;
  private failures = 0;
  private lostAt: Date | null = null;
  private current: AbortController | null = null;
  private wake: (() => void) | null = null;

  constructor(
    private readonly door: Door,
    private readonly page: Pick<Document, "hidden" | "addEventListener" | "removeEventListener"> = document,
  ) {}

  get connection(): Connection {
    return this.now;
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    listener.connection(this.now);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.failures = 0;
    this.lostAt = null;
    this.page.addEventListener("visibilitychange", this.looked);
    void this.run();
  }

  stop(): void {
    this.stopped = true;
    this.page.removeEventListener("visibilitychange", this.looked);
    this.current?.abort();
    this.wake?.();
  }

  private looked = (): void => {
    if (this.page.hidden) this.current?.abort();
    else this.wake?.();
  };

  private async run(): Promise<void> {
    while (!this.stopped) {
      if (this.page.hidden) {
        this.say({ state: "paused" });
        await this.pause(null);
        continue;
      }
      try {
        await (this.door.open ? this.follow() : this.poll());
        continue;
      } catch (error) {
        if (this.stopped || this.page.hidden) continue;
        if (error instanceof Problem && [401, 403].includes(error.status)) {
          this.say({ state: "gone" });
          return this.stop();
        }
      }
      this.lostAt ??= new Date();
      if (Date.now() - this.lostAt.getTime() >= TIMES.giveUp) {
        this.say({ state: "given-up", since: this.lostAt });
        return this.stop();
      }
      this.say({ state: "lost", since: this.lostAt });
      const longest = Math.min(TIMES.longestPause, TIMES.firstPause * 2 ** this.failures);
      this.failures += 1;
      await this.pause(longest * (0.5 + Math.random() / 2));
    }
  }

  private async follow(): Promise<void> {
    const aborted = new AbortController();
    this.current = aborted;
    let timer = setTimeout(() => aborted.abort(), TIMES.silence);
    try {
      const headers: Record<string, string> = this.lastId ? { "Last-Event-ID": this.lastId } : {};
      const response = await (this.door.open as NonNullable<Door["open"]>)(
        "events",
        {},
        headers,
        aborted.signal,
      );
      if (!response.ok || !response.body) throw new Problem(response.status, "", "");
      const opened = Date.now();
      const fresh = this.lastId === "";
      this.reached("live");
      if (fresh) this.reset();
      const reader = new Reader();
      const decoder = new TextDecoder();
      const chunks = response.body.getReader();
      for (;;) {
        const { done, value } = await chunks.read();
        if (done) throw new Problem(0, "", "");
        clearTimeout(timer);
        timer = setTimeout(() => aborted.abort(), TIMES.silence);
        const messages = reader.feed(decoder.decode(value, { stream: true }));
        if (messages.length > 0 || Date.now() - opened >= TIMES.lasting) this.failures = 0;
        if (reader.lastId) this.lastId = reader.lastId;
        for (const message of messages) this.heard(message);
      }
    } finally {
      clearTimeout(timer);
      aborted.abort();
      this.current = null;
    }
  }

  private async poll(): Promise<void> {
    await this.door.ask("GET", "health");
    this.failures = 0;
    this.reached("polling");
    this.reset();
    await this.pause(TIMES.poll);
  }

  private heard(message: { type: string; data: string }): void {
    if (message.type === "reset") {
      this.reset();
      return;
    }
    const event = JSON.parse(message.data) as Happening;
    this.tell((listener) => listener.event(event));
  }

  private reset(): void {
    this.tell((listener) => listener.reset());
  }

  /** Tell all; a view that fails is no reason to take the connection for lost. */
  private tell(say: (listener: Listener) => void): void {
    for (const listener of this.listeners) {
      try {
        say(listener);
      } catch (error) {
        console.error(error);
      }
    }
  }

  private reached(state: "live" | "polling"): void {
    this.lostAt = null;
    this.say({ state });
  }

  private say(connection: Connection): void {
    this.now = connection;
    this.tell((listener) => listener.connection(connection));
  }

  private async pause(milliseconds: number | null): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = milliseconds === null ? undefined : setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
  }
}
