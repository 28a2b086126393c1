import { expect, test } from "vitest";
import { Reader } from "../src/sse.ts";

test("an event is whole when its empty line has come, wherever the chunks end", () => {
  const text =
    'retry: 2000\nid: 7\n\n: still here\n\nid: 8\nevent: machine.changed\ndata: {"a":\ndata: 1}\n\n';
  for (let cut = 0; cut < text.length; cut += 1) {
    const reader = new Reader();
    const found = [...reader.feed(text.slice(0, cut)), ...reader.feed(text.slice(cut))];
    expect(found).toEqual([{ id: "8", type: "machine.changed", data: '{"a":\n1}' }]);
    expect(reader.lastId).toBe("8");
  }
});

test("a greeting without data moves the position", () => {
  const reader = new Reader();
  expect(reader.feed("id: 41\n\n")).toEqual([]);
  expect(reader.lastId).toBe("41");
});

test("lines may end as in the format's other two ways", () => {
  expect(new Reader().feed("data: x\r\n\r\n")).toHaveLength(1);
  expect(new Reader().feed("data: x\r\rdata: y\r\r:")).toHaveLength(2);
});
