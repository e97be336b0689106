import { inJson, type Attachment } from "./attachments.js";
import type { AnswerDocument } from "./documents.js";
import { FairleadError, notUnderstood } from "./errors.js";
import type { Message } from "./events.js";
import type { Http, Init } from "./http.js";
import type { Sockets } from "./websocket.js";

/** The ways to read an answer: Server-Sent Events over fetch, a WebSocket, long polling, Connect. */
export type TransportName = "sse" | "websocket" | "poll" | "connect";

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
  sockets: Sockets | null;
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
export async function startRequest(call: Call, accept: string): Promise<Init> {
  const fields = await startFields(call);
  return {
    method: "POST",
    body: JSON.stringify(fields),
    signal: call.signal,
    headers: {
      Accept: accept,
      "Content-Type": "application/json",
      "Idempotency-Key": call.place.start!.key,
    },
  };
}

/** What that request asks, without its key. */
export async function startFields({ http, place, signal }: Call): Promise<Record<string, unknown>> {
  const { start } = place;
  if (!start) throw new TypeError("there is neither a question nor a stream");
  const { attachments } = start;
  let { fields } = start;
  if (attachments?.length) fields = { ...fields, attachments: attachments.map(inJson) };
  if (start.over) {
    // Over HTTP it takes two acts, and there is no word for what was shown. With the same key and
    // the same place in the dialogue it is the same question as a WebSocket's `interrupt`.
    const stop = `/streams/${encodeURIComponent(start.over.stream)}/stop`;
    const stopped = await http.json<AnswerDocument>(stop, { method: "POST", signal });
    if (!stopped) throw notUnderstood("nothing");
    if (stopped.status === "running") {
      const error = "the answer has not stopped yet";
      throw new FairleadError({ error, code: "busy", retryable: true });
    }
    fields = {
      ...fields,
      conversation_id: stopped.conversation_id,
      parent: stopped.message_id,
    };
  }
  return fields;
}
