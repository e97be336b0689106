// The event-stream format (WHATWG HTML, section 9.2): bytes in, events out.

/** A line or an event longer than this (UTF-16 units) is refused. */
const MAX_LENGTH = 16 * 1024 * 1024;

export class EventStreamParser {
  /** Milliseconds before a reconnection as the server's last `retry:` asked, or null. */
  retry = null;

  #decoder = new TextDecoder(); // drops the one leading BOM that the format allows
  #rest = "";
  #skipLineFeed = false;
  #data = [];
  #size = 0;
  #event = "";
  #id = "";

  /**
   * The events that `bytes` complete: `{event, data, id}`. An id counts only once its event is
   * complete, so that a body cut in the middle of a block resumes before that block.
   */
  feed(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#skipLineFeed && text[0] === "\n") text = text.slice(1);
    this.#skipLineFeed = text.endsWith("\r"); // its line feed may be the next chunk's first
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === "") this.#dispatch(events);
      else this.#field(line);
    }
    if (this.#rest.length + this.#size > MAX_LENGTH) throw new RangeError("event too large");
    return events;
  }

  #dispatch(events) {
    if (this.#data.length) {
      events.push({
        event: this.#event || "message",
        data: this.#data.join("\n"),
        id: this.#id,
      });
    }
    this.#data = [];
    this.#size = 0;
    this.#event = "";
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (name === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (name === "event") this.#event = value;
    else if (name === "id") {
      if (!value.includes("\0")) this.#id = value;
    } else if (name === "retry" && /^\d{1,9}$/.test(value)) this.retry = Number(value);
  }
}
