import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Problem } from "../src/door.ts";
import { type Connection, EventStream, TIMES } from "../src/events.ts";
import { FakeDoor } from "./fixtures.ts";

let stream: EventStream | null = null;
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  stream?.stop();
  vi.useRealTimers();
});

class Watched {
  hidden = false;
  private look: (() => void) | null = null;
  addEventListener = ((_: string, look: () => void) => {
    this.look = look;
  }) as Document["addEventListener"];
  removeEventListener = () => undefined;
  show(visible: boolean): void {
    this.hidden = !visible;
    this.look?.();
  }
}

/** A door whose streams a test writes to. */
class StreamingDoor extends FakeDoor {
  headers: Record<string, string>[] = [];
  refuse: number | null = null;
  private pipe: ReadableStreamDefaultController<Uint8Array> | null = null;

  override open = async (_p: string, _q: unknown, headers: Record<string, string>, signal: AbortSignal) => {
    this.headers.push(headers);
    if (this.refuse) throw new Problem(this.refuse, "", "no");
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.pipe = controller;
        signal.addEventListener("abort", () => {
          try {
            controller.error(new Error("aborted"));
          } catch {
            // it had ended
          }
        });
      },
    });
    return new Response(body);
  };

  write(text: string): void {
    this.pipe?.enqueue(new TextEncoder().encode(text));
  }

  end(): void {
    this.pipe?.close();
  }
}

function follow(door: FakeDoor, page = new Watched()) {
  const seen: { events: number[]; resets: number; states: Connection["state"][] } = {
    events: [],
    resets: 0,
    states: [],
  };
  stream = new EventStream(door, page);
  stream.listen({
    event: (event) => seen.events.push(event.id),
    reset: () => {
      seen.resets += 1;
    },
    connection: (connection) => seen.states.push(connection.state),
  });
  stream.start();
  return seen;
}

const passing = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

test("a lost stream is resumed after the last event that was heard", async () => {
  const door = new StreamingDoor();
  const seen = follow(door);
  await passing(1);
  door.write('id: 5\n\nid: 6\nevent: machine.changed\ndata: {"id":6}\n\n');
  await passing(1);
  door.end();
  await passing(TIMES.firstPause + 1);
  expect(seen.events).toEqual([6]);
  expect(door.headers).toEqual([{}, { "Last-Event-ID": "6" }]);
  expect(seen.states).toEqual(["connecting", "live", "lost", "live"]);
  expect(seen.resets).toBe(1);
});

test("a gap that the controller tells of makes everybody ask again", async () => {
  const door = new StreamingDoor();
  const seen = follow(door);
  await passing(1);
  door.write("id: 9\nevent: reset\ndata: {}\n\n");
  await passing(1);
  expect(seen.resets).toBe(2);
});

test("a stream without a sign of life is dead", async () => {
  const door = new StreamingDoor();
  const seen = follow(door);
  await passing(TIMES.silence + TIMES.firstPause + 1);
  expect(seen.states).toEqual(["connecting", "live", "lost", "live"]);
});

test("a controller that stays away is asked less and less, and in the end no more", async () => {
  const door = new StreamingDoor();
  door.refuse = 502;
  const seen = follow(door);
  await passing(60_000);
  const minute = door.headers.length;
  expect(minute).toBeLessThan(12);
  await passing(TIMES.giveUp);
  expect(seen.states.at(-1)).toBe("given-up");
  const asked = door.headers.length;
  await passing(TIMES.giveUp);
  expect(door.headers.length).toBe(asked);
  door.refuse = null;
  stream?.start();
  await passing(1);
  expect(seen.states.at(-1)).toBe("live");
});

test("who is logged out is told and asks no more", async () => {
  const door = new StreamingDoor();
  door.refuse = 403;
  const seen = follow(door);
  await passing(60_000);
  expect(seen.states).toEqual(["connecting", "gone"]);
  expect(door.headers).toHaveLength(1);
});

test("a hidden page does not listen, and goes on where it was", async () => {
  const [door, page] = [new StreamingDoor(), new Watched()];
  const seen = follow(door, page);
  await passing(1);
  door.write("id: 3\n\n");
  await passing(1);
  page.show(false);
  await passing(60_000);
  expect(seen.states.at(-1)).toBe("paused");
  expect(door.headers).toHaveLength(1);
  page.show(true);
  await passing(1);
  expect(door.headers.at(-1)).toEqual({ "Last-Event-ID": "3" });
  expect(seen.states.at(-1)).toBe("live");
});

test("without a stream it is polled", async () => {
  const door = new FakeDoor();
  const seen = follow(door);
  await passing(3 * TIMES.poll - 1);
  expect(seen.resets).toBe(3);
  expect(seen.states.at(-1)).toBe("polling");
});

test("a stream that ends as soon as it opens is asked for less and less", async () => {
  const door = new StreamingDoor();
  follow(door);
  for (let second = 0; second < 60; second += 1) {
    await passing(1000);
    if (stream?.connection.state === "live") door.end();
  }
  expect(door.headers.length).toBeLessThan(12);
});

test("a view that fails costs neither the stream nor the others", async () => {
  const door = new StreamingDoor();
  const complained = vi.spyOn(console, "error").mockReturnValue(undefined);
  const seen = follow(door);
  stream?.listen({
    event: () => {
      throw new Error("a fault of a view");
    },
    reset: () => undefined,
    connection: () => undefined,
  });
  await passing(1);
  door.write('id: 6\nevent: machine.changed\ndata: {"id":6}\n\n');
  await passing(1);
  door.write('id: 7\nevent: machine.changed\ndata: {"id":7}\n\n');
  await passing(1);
  expect(seen.events).toEqual([6, 7]);
  expect(seen.states.at(-1)).toBe("live");
  expect(complained).toHaveBeenCalledTimes(2);
  complained.mockRestore();
});
