import { inJson, type Attachment } from "./attachments.js";
import type { Message } from "./events.js";
import type { Http, Init } from "./http.js";
import type { Sockets } from "./websocket.js";

/**
 * The ways to read an answer: Server-Sent Events over fetch, a WebSocket, long polling, lines of JSON
 * over fetch, Connect.
 */
export type TransportName = "sse" | "websocket" | "poll" | "ndjson" | "connect";

/** What is asked. */
export interface Start {
  /** The question (PROTOCOL.md, section 4). */
  readonly fields: Record<string, unknown>;
  /** What goes along with it. */
  readonly attachments?: readonly Attachment[] | undefined;
  /** The idempotency key. */
  readonly key: string;
  /** The answer that it interrupts, and the position up to which that was shown. */
  readonly over?: { readonly stream: string; readonly shown: string };
}

/** Where a reader stands. It moves on as events come, and every connection starts from it. */
export interface Place {
  /** Null if the stream was there before. */
  start: Start | null;
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
  /** Null where there is no WebSocket. */
  sockets: (() => Promise<Sockets>) | null;
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

/**
 * The request that starts an answer, and its path: sent again it finds the same stream, and asks
 * nothing twice.
 */
export function startRequest({ place, signal }: Call, accept: string): [string, Init] {
  const { key, over } = started(place);
  const fields = { ...startFields(place), ...(over && { shown: over.shown }) };
  return [
    over ? `/streams/${encodeURIComponent(over.stream)}/interrupt` : "/chat/stream",
    {
      method: "POST",
      body: JSON.stringify(fields),
      signal,
      headers: {
        Accept: accept,
        "Content-Type": "application/json",
        "Idempotency-Key": key,
      },
    },
  ];
}

/** What that request asks, without its key. */
export function startFields(place: Place): Record<string, unknown> {
  const { fields, attachments } = started(place);
  return attachments?.length ? { ...fields, attachments: attachments.map(inJson) } : fields;
}

function started({ start }: Place): Start {
  if (!start) throw new TypeError("there is neither a question nor a stream");
  return start;
}
