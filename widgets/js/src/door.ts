// How the views ask the controller. Where they are shown decides the door: HTTP of the same origin, or the kernel.

import type { ProblemDetails } from "./model.ts";
import { texts } from "./texts.ts";

export type Query = Record<string, string | number | readonly string[] | null | undefined>;

/** A refusal or a failure, in words for the person who reads it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** One entry a fault, where a request had several. */
    readonly errors: readonly Record<string, unknown>[] = [],
  ) {
    super(detail);
  }

  /** Whether asking again later may help. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface Door {
  /** Make a request of the API (`path` below its version) and return its answer. */
  ask<T>(method: string, path: string, query?: Query, body?: unknown): Promise<T>;
  /** Open a stream; null where this door has none. */
  open:
    | ((
        path: string,
        query: Query,
        headers: Record<string, string>,
        signal: AbortSignal,
      ) => Promise<Response>)
    | null;
  /** Open a WebSocket (`path` below the API's version); null where this door has none. */
  socket: ((path: string, protocols: string[]) => WebSocket) | null;
}

/** `query` as the API reads it: lists joined with commas, nothing for null. */
export function search(query: Query): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const text = Array.isArray(value) ? value.join(",") : (value ?? "");
    if (text !== "") found.set(name, String(text));
  }
  const text = found.toString();
  return text && `?${text}`;
}

export function problemOf(status: number, body: unknown): Problem {
  const said = body as Partial<ProblemDetails> | null;
  if (said && typeof said === "object" && typeof said.detail === "string")
    return new Problem(status, said.code ?? "", said.detail, said.errors ?? []);
  return new Problem(
    status,
    "",
    [502, 503, 504].includes(status) ? texts.noAnswer : texts.notUnderstood(status),
  );
}

/** The API below a path of this page's own origin; the page's XSRF token goes with everything. */
export class HttpDoor implements Door {
  /** `base` ends with a slash: `/services/cernvm/api/v1/`, `/user/alice/cernvm/api/v1/`. */
  constructor(readonly base: string) {}

  async ask<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { Accept: "application/json", "X-XSRFToken": xsrf() };
    const content = body === undefined ? null : JSON.stringify(body);
    if (content !== null) headers["Content-Type"] = "application/json";
    let response: Response;
    try {
      response = await fetch(this.url(path, query), { method, headers, body: content });
    } catch {
      throw new Problem(0, "", texts.noAnswer);
    }
    const text = await response.text();
    let answer: unknown = null;
    try {
      answer = text ? JSON.parse(text) : null;
    } catch {
      if (response.ok) throw new Problem(502, "", texts.notUnderstood(response.status));
    }
    if (!response.ok) throw problemOf(response.status, answer);
    return answer as T;
  }

  open = (
    path: string,
    query: Query,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Response> =>
    fetch(this.url(path, query), {
      headers: { Accept: "text/event-stream", "X-XSRFToken": xsrf(), ...headers },
      signal,
      cache: "no-store",
    });

  socket = (path: string, protocols: string[]): WebSocket => {
    const url = new URL(this.base + path, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    return new WebSocket(url, protocols);
  };

  private url(path: string, query: Query): string {
    return this.base + path + search(query);
  }
}

function xsrf(): string {
  const cookie = document.cookie.split("; ").find((each) => each.startsWith("_xsrf="));
  return cookie ? decodeURIComponent(cookie.slice("_xsrf=".length)) : "";
}
