import { FairleadError, notUnderstood, unreachable, type Problem } from "./errors.js";
import type { Message } from "./events.js";
import { parsed } from "./http.js";
import { begin } from "./poll.js";
import { finish } from "./sse.js";
import { CLOSED, startFields, type Call } from "./transport.js";

const SERVICE = "/fairlead.v1.Answers";
const TYPE = "application/connect+json";

/** A message larger than this (bytes) is refused. */
const MAX_MESSAGE = 16 * 1024 * 1024;
/** An envelope's flags and length. */
const HEAD = 5;
/** Flags of an envelope. */
const COMPRESSED = 1;
const LAST = 2;

type Json = Record<string, unknown>;

/**
 * Connect with JSON (PROTOCOL.md, section 10, and https://connectrpc.com/docs/protocol): a call
 * whose response is a sequence of envelopes, each with one event, and one that says how it ended.
 */
export async function* connect(call: Call): AsyncGenerator<Message> {
  const { http, place, signal } = call;
  // Connect has no word for asking over another answer.
  if (!place.stream && place.start?.over) await begin(call);
  const begins = !place.stream;
  const asked = begins
    ? { ...startFields(place), key: place.start?.key }
    : { stream: place.stream, after: place.position };
  const response = await http.request(`${SERVICE}/${begins ? "Ask" : "Attach"}`, {
    method: "POST",
    body: envelope(JSON.stringify(asked)),
    signal,
    headers: { "Content-Type": TYPE, "Connect-Protocol-Version": "1" },
  });
  if (!response.headers.get("Content-Type")?.startsWith(TYPE) || !response.body) {
    throw notUnderstood("something other than a call's response");
  }
  place.stream ||= response.headers.get("Fairlead-Stream") ?? "";
  const reader = response.body.getReader();
  const envelopes = new Envelopes();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw signal.aborted ? error : unreachable(error);
      });
      if (done) return;
      call.heard();
      for (const { flags, text } of envelopes.take(value)) {
        if (flags & COMPRESSED) throw notUnderstood("a message in a coding that nobody asked for");
        const message = flags & LAST ? ending(parsed(text), begins) : messageOf(parsed(text));
        if (message) yield message;
      }
    }
  } finally {
    void finish(reader);
  }
}

function envelope(text: string): Uint8Array<ArrayBuffer> {
  const data = new TextEncoder().encode(text);
  const made = new Uint8Array(HEAD + data.length);
  new DataView(made.buffer).setUint32(1, data.length);
  made.set(data, HEAD);
  return made;
}

/** Envelopes out of bytes that come in pieces of any size. */
export class Envelopes {
  #pieces: Uint8Array[] = [];
  #have = 0;
  /** How many bytes the next envelope takes, as far as that is known. */
  #need = HEAD;

  /** Those that are complete with these bytes. */
  *take(bytes: Uint8Array): Generator<{ flags: number; text: string }> {
    this.#pieces.push(bytes);
    this.#have += bytes.length;
    while (this.#have >= this.#need) {
      const all = this.#joined();
      const length = new DataView(all.buffer, all.byteOffset).getUint32(1);
      if (length > MAX_MESSAGE) throw notUnderstood("a message that is too large");
      this.#need = HEAD + length;
      if (all.length < this.#need) return;
      const text = new TextDecoder().decode(all.subarray(HEAD, this.#need));
      const rest = all.subarray(this.#need);
      this.#pieces = [rest];
      this.#have = rest.length;
      this.#need = HEAD;
      yield { flags: all[0]!, text };
    }
  }

  #joined(): Uint8Array {
    if (this.#pieces.length === 1) return this.#pieces[0]!;
    const all = new Uint8Array(this.#have);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [all];
    return all;
  }
}

/** An `Event` in JSON, where fields that have their usual value are left out; null: a heartbeat. */
function messageOf(event: Json): Message | null {
  const { type, stream, position, introduction } = event as Record<string, string | undefined>;
  if (!type) throw notUnderstood("an event without a type");
  if (type === "heartbeat") return null;
  return {
    type,
    ...(stream && { stream }),
    ...(position && { position }),
    data: {
      ...fields(type, event),
      ...(introduction && { stream, ...introductionOf(introduction as unknown as Json) }),
    },
  };
}

/** The fields of an event as PROTOCOL.md, section 2, has them. */
function fields(type: string, event: Json): Json {
  if (typeof event["json"] === "string") return parsed(event["json"]);
  const own = (event[type] ?? {}) as Json;
  switch (type) {
    case "token":
      return { token: own["text"] ?? "", ...(own["part"] ? { part: own["part"] } : {}) };
    case "thinking":
      return { message: "", ...own };
    case "sources": {
      const sources = ((own["sources"] ?? []) as Json[]).map(sourceOf);
      return { count: sources.length, sources };
    }
    case "reset":
      return { reason: "", text: "", ...own };
    case "error": {
      const { retryAfter, ...rest } = own;
      const wait = retryAfter !== undefined && { retry_after: retryAfter };
      return { error: "", code: "internal", retryable: false, ...rest, ...wait };
    }
    default:
      return own;
  }
}

const BLANK = { id: "", title: "", address: "", heading: "", score: 0, snippet: "" };

function sourceOf({ begin, end, ...rest }: Json): Json {
  // Numbers of 64 bits are text in JSON.
  return { ...BLANK, ...rest, span: [Number(begin ?? 0), Number(end ?? 0)] };
}

function introductionOf({ conversationId, messageId, ...rest }: Json): Json {
  return { conversation_id: conversationId, message_id: messageId, ...rest };
}

/** What the last envelope says: that nothing follows, or why the call ended. */
function ending({ error }: Json, begins: boolean): Message {
  if (!error) return { type: CLOSED, data: {} };
  const { code, message, details } = error as { code?: string; message?: string; details?: Json[] };
  const detail = details?.find(({ type }) => type === "fairlead.v1.Error");
  const problem: Problem = detail
    ? errorOf(bytesOf(String(detail["value"])))
    : { error: message || String(code), code: "protocol", retryable: code === "unavailable" };
  if (problem.code === "draining" && !begins) {
    return { type: "drain", data: { retry_after: problem.retry_after } };
  }
  throw new FairleadError(problem);
}

/** Base64, whose padding may be missing. */
const bytesOf = (text: string) => Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));

/** The message `fairlead.v1.Error`, whose binary form is all that details are sure to have. */
export function errorOf(data: Uint8Array): Problem {
  const problem = {
    error: "",
    code: "internal",
    retryable: false,
    retry_after: null as number | null,
  };
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let at = 0;
  const number = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const tag = number();
    const kind = tag % 8;
    if (kind === 0) {
      const value = number();
      if (tag >> 3 === 3) problem.retryable = value !== 0;
    } else if (kind === 1) {
      if (tag >> 3 === 4) problem.retry_after = view.getFloat64(at, true);
      at += 8;
    } else if (kind === 2) {
      const length = number();
      const text = new TextDecoder().decode(data.subarray(at, (at += length)));
      if (tag >> 3 === 1) problem.error = text;
      if (tag >> 3 === 2) problem.code = text;
    } else throw notUnderstood("an error in an unknown form");
  }
  return problem;
}
