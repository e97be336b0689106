import type { Message } from "./events.js";
import type { Http } from "./http.js";

/** The ways to read an answer: Server-Sent Events over fetch, long polling. */
export type TransportName = "sse" | "poll";

/** Where a reader stands. It moves on as events come, and every connection starts from it. */
export interface Place {
  /** The question, with its idempotency key; null if the stream was there before. */
  readonly start: { readonly body: string; readonly key: string } | null;
  /** The stream's id, once known. */
  stream: string;
  /** The position after the last event seen. */
  position: string;
  /** Milliseconds until a broken connection is to be made anew, as the server asked. */
  retry: number;
}

/** What a transport gets for one connection. */
export interface Call {
  http: Http;
  place: Place;
  signal: AbortSignal;
  /** Milliseconds of silence after which the connection will be given up. */
  silence: number;
  /** To be called for everything that comes, heartbeats too. */
  heard(): void;
}

/**
 * One connection's messages after `place`, until it ends. Beside the server's messages there is
 * {@link CLOSED} where the server says that nothing will follow, and {@link AGAIN} where the
 * connection ended as it should and the next one goes on.
 */
export type Transport = (call: Call) => AsyncIterable<Message>;

export const CLOSED = "closed ";
export const AGAIN = "again ";

/** The request that starts an answer: sent again it finds the same stream, and asks nothing twice. */
export function startRequest({ place, signal }: Call, accept: string) {
  const start = place.start;
  if (!start) throw new TypeError("there is neither a question nor a stream");
  return {
    method: "POST",
    body: start.body,
    signal,
    headers: {
      Accept: accept,
      "Content-Type": "application/json",
      "Idempotency-Key": start.key,
    },
  };
}
