// Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), read from chunks of text.

export interface Message {
  id: string;
  type: string;
  data: string;
}

/** Takes text as it comes, gives whole messages. */
export class Reader {
  private rest = "";
  private id = "";
  private type = "";
  private data: string[] = [];

  /** Id of the last event that was seen, also when it carried nothing. */
  get lastId(): string {
    return this.id;
  }

  feed(text: string): Message[] {
    const found: Message[] = [];
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      const message = this.line(line);
      if (message) found.push(message);
    }
    return found;
  }

  private line(line: string): Message | null {
    if (line === "") {
      const message = { id: this.id, type: this.type || "message", data: this.data.join("\n") };
      const whole = this.data.length > 0;
      this.type = "";
      this.data = [];
      return whole ? message : null;
    }
    const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "id") this.id = value;
    else if (field === "event") this.type = value;
    else if (field === "data") this.data.push(value);
    return null;
  }
}
