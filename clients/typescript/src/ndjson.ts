import { notUnderstood, unreachable } from "./errors.js";
import type { Message } from "./events.js";
import { parsed } from "./http.js";
import { finish } from "./sse.js";
import { CLOSED, startRequest, type Call } from "./transport.js";

const TYPE = "application/x-ndjson";

/** A line longer than this (UTF-16 units) is refused. */
const MAX_LINE = 16 * 1024 * 1024;

/** A message on each line, over fetch (PROTOCOL.md, section 8). An empty line is a heartbeat. */
export async function* ndjson(call: Call): AsyncGenerator<Message> {
  const response = await open(call);
  if (response.status === 204) return yield { type: CLOSED, data: {} };
  if (!response.headers.get("Content-Type")?.startsWith(TYPE) || !response.body) {
    throw notUnderstood("something other than lines of JSON");
  }
  call.place.stream ||= response.headers.get("Fairlead-Stream") ?? "";
  const reader = response.body.getReader();
  const lines = new Lines();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw call.signal.aborted ? error : unreachable(error);
      });
      if (done) return; // what is left of a line was cut off
      call.heard();
      for (const line of lines.take(value)) yield parsed(line) as unknown as Message;
    }
  } finally {
    void finish(reader);
  }
}

/** Lines out of bytes that come in pieces of any size, without those that are empty. */
export class Lines {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** Those that are complete with these bytes. */
  *take(bytes: Uint8Array): Generator<string> {
    const pieces = this.#decoder.decode(bytes, { stream: true }).split("\n");
    const last = pieces.pop()!;
    for (const piece of pieces) {
      const line = this.#rest + piece;
      this.#rest = "";
      if (line.trim()) yield line;
    }
    this.#rest += last;
    if (this.#rest.length > MAX_LINE) throw notUnderstood("a line that is too long");
  }
}

function open(call: Call): Promise<Response> {
  const { http, place, signal } = call;
  if (!place.stream) return http.request(...startRequest(call, TYPE));
  const after = encodeURIComponent(place.position);
  return http.request(`/streams/${encodeURIComponent(place.stream)}?after=${after}`, {
    signal,
    headers: { Accept: TYPE },
  });
}
