import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ConsoleLink, WAITS } from "../src/consolelink.ts";
import { Problem } from "../src/door.ts";
import { FakeDoor } from "./fixtures.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const passing = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

/** Sockets that a test opens, speaks through and closes. */
class FakeSocket extends EventTarget {
  binaryType = "blob";
  private closed = false;
  close(code = 1000, reason = ""): void {
    if (this.closed) return;
    this.closed = true;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }
  say(data: string): void {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }
}

class ConsoleDoor extends FakeDoor {
  sockets: FakeSocket[] = [];
  offered: [string, string[]][] = [];
  override socket = (path: string, protocols: string[]): WebSocket => {
    this.offered.push([path, protocols]);
    const made = new FakeSocket();
    this.sockets.push(made);
    return made as unknown as WebSocket;
  };
  override async ask<T>(method: string, path: string, query = {}, body?: unknown): Promise<T> {
    this.asked.push([method, path, query, body]);
    if (this.fails) throw this.fails;
    return { socket: "/machines/m-1/console/socket", ticket: "t1", protocol: "cernvm.console.v1" } as T;
  }
}

function opened(door: FakeDoor, after: () => { stream: string; offset: number } | null = () => null) {
  const ends: [string, boolean][] = [];
  let again: (() => void) | null = null;
  const link = new ConsoleLink(
    door,
    "m-1",
    "serial",
    {
      socket: () => undefined,
      ended: (why, retry) => {
        ends.push([why, retry !== null]);
        again = retry;
      },
    },
    after,
  );
  void link.open();
  return { link, ends, again: () => again?.() };
}

test("the ticket goes into the protocols, and nothing into the address", async () => {
  const door = new ConsoleDoor();
  opened(door, () => ({ stream: "c-1", offset: 7 }));
  await passing(1);
  expect(door.offered).toEqual([["machines/m-1/console/socket", ["cernvm.console.v1", "ticket.t1"]]]);
  expect(door.asked[0]?.[3]).toEqual({
    kind: "serial",
    view_only: false,
    after: { stream: "c-1", offset: 7 },
  });
});

test("a line that breaks is made again, less and less often while it says nothing", async () => {
  const door = new ConsoleDoor();
  const { ends } = opened(door);
  for (let second = 0; second < 60; second += 1) {
    await passing(1000);
    door.sockets.at(-1)?.close(1006);
  }
  expect(ends[0]).toEqual(["The connection broke.", false]);
  expect(door.sockets.length).toBeLessThan(15);
  await passing(WAITS.longest);
  door.sockets.at(-1)?.say("{}");
  const before = door.sockets.length;
  door.sockets.at(-1)?.close(1001, "The controller is being restarted.");
  await passing(WAITS.first);
  expect(door.sockets.length).toBe(before + 1);
});

test("what has ended is asked for again by hand only, and says why", async () => {
  const door = new ConsoleDoor();
  const { ends, again } = opened(door);
  await passing(1);
  door.sockets[0]?.close(4000, "The machine's console has ended.");
  await passing(60_000);
  expect(ends).toEqual([["The machine's console has ended.", true]]);
  again();
  await passing(1);
  expect(door.sockets).toHaveLength(2);
});

test("a refusal is a reason, and nothing is tried after the console was closed", async () => {
  const door = new ConsoleDoor();
  door.fails = new Problem(409, "conflict", "It does not run.");
  const { link, ends } = opened(door);
  await passing(1);
  expect(ends).toEqual([["It does not run.", true]]);
  door.fails = new Problem(503, "", "No answer.");
  void link.open();
  await passing(1);
  link.close();
  const asked = door.asked.length;
  await passing(60_000);
  expect(door.asked).toHaveLength(asked);
});

test("a notebook without a way to consoles says where there is one", async () => {
  const { ends } = opened(new FakeDoor());
  await passing(1);
  expect(ends[0]?.[0]).toContain("hub's page");
});
