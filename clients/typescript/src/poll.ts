import { notUnderstood } from "./errors.js";
import type { Message } from "./events.js";
import { objectOf } from "./http.js";
import { AGAIN, CLOSED, startRequest, type Call } from "./transport.js";

/** Seconds that the server holds a poll open while there is nothing. */
const WAIT = 25;
/** A poll that found nothing in fewer milliseconds was not held open: the server is in a hurry. */
const HURRIED = 500;
/** Seconds until the next poll then. */
const BREATH = 1;

interface Batch {
  events: Message[];
  closed: boolean;
}

/**
 * Long polling (PROTOCOL.md, section 8): each answer is an ordinary one, which ends, and so gets
 * through where everything that streams is held back. One poll; the next one is the next connection.
 */
export async function* poll(call: Call): AsyncGenerator<Message> {
  const { http, place, signal } = call;
  if (!place.stream) await begin(call);
  const wait = Math.max(1, Math.min(WAIT, Math.floor(call.silence / 2000)));
  const after = place.position && `&after=${encodeURIComponent(place.position)}`;
  const asked = Date.now();
  const path = `/streams/${encodeURIComponent(place.stream)}?wait=${wait}${after}`;
  const batch = await http.json<Batch>(path, { signal });
  call.heard();
  if (batch === null) {
    const hurried = Date.now() - asked < HURRIED;
    return yield { type: AGAIN, data: hurried ? { retry_after: BREATH } : {} };
  }
  if (!Array.isArray(batch.events)) throw notUnderstood("something other than a batch of events");
  yield* batch.events;
  yield { type: batch.closed ? CLOSED : AGAIN, data: {} };
}

/** Ask without reading. The body is not waited for: it may be held back until the answer's end. */
export async function begin(call: Call): Promise<void> {
  const response = await call.http.request(...startRequest(call, "application/json"));
  let stream: unknown = response.headers.get("Fairlead-Stream");
  if (stream) void response.body?.cancel().catch(() => {});
  else stream = (await objectOf(response, call.signal))["stream"];
  if (!stream || typeof stream !== "string") throw notUnderstood("no stream's id");
  call.place.stream = stream;
  call.heard();
}
