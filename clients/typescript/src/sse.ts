import { createParser } from "eventsource-parser";
import { notUnderstood, unreachable } from "./errors.js";
import type { Message } from "./events.js";
import { parsed } from "./http.js";
import { CLOSED, startRequest, type Call } from "./transport.js";

/** An event larger than this (UTF-16 units) is refused. */
const MAX_EVENT = 16 * 1024 * 1024;

/** Server-Sent Events over fetch (PROTOCOL.md, section 3). */
export async function* sse(call: Call): AsyncGenerator<Message> {
  const response = await open(call);
  if (response.status === 204) return yield { type: CLOSED, data: {} };
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) {
    throw notUnderstood("something other than an event stream");
  }
  const { place } = call;
  place.stream ||= response.headers.get("Fairlead-Stream") ?? "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder(); // drops the one leading BOM that the format allows
  let messages: Message[] = [];
  let refused: Error | null = null;
  const parser = createParser({
    maxBufferSize: MAX_EVENT,
    onEvent: ({ event = "message", id = "", data }) => {
      const dot = id.indexOf(".");
      messages.push({
        type: event,
        ...(dot > 0 && { stream: id.slice(0, dot), position: id.slice(dot + 1) }),
        data: parsed(data),
      });
    },
    onRetry: (milliseconds) => {
      place.retry = milliseconds;
    },
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") refused = error;
    },
  });
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw call.signal.aborted ? error : unreachable(error);
      });
      if (done) return;
      call.heard();
      parser.feed(decoder.decode(value, { stream: true }));
      if (refused) throw notUnderstood("an event that is too large");
      const complete = messages;
      messages = [];
      yield* complete;
    }
  } finally {
    void finish(reader);
  }
}

/** Let a body end by itself, so that its connection can be used again; but not for ever. */
export async function finish(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const tired = setTimeout(() => void reader.cancel().catch(() => {}), 1000);
  try {
    while (!(await reader.read()).done);
  } catch {
    // All that was wanted of it has been read: how it ends matters to nobody.
  }
  clearTimeout(tired);
}

async function open(call: Call): Promise<Response> {
  const { http, place, signal } = call;
  if (!place.stream) {
    return http.request(...startRequest(call, "text/event-stream"));
  }
  return http.request(`/streams/${encodeURIComponent(place.stream)}`, {
    signal,
    headers: {
      Accept: "text/event-stream",
      ...(place.position && { "Last-Event-ID": `${place.stream}.${place.position}` }),
    },
  });
}
