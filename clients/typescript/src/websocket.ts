import { inFrame } from "./attachments.js";
import { FairleadError, notUnderstood, STALLED, unreachable } from "./errors.js";
import type { Message } from "./events.js";
import { parsed, type Http } from "./http.js";
import { AGAIN, CLOSED, type Call } from "./transport.js";

/** As much of the standard's `WebSocket` as is used here. */
export interface SocketLike {
  binaryType: string;
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code: number): void;
}

/** A `WebSocket` class: the browser's, or that of the package `ws`. */
export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

/** Streams that the server lets one socket read. */
const MOST_STREAMS = 100;
/** When so much of an answer (UTF-16 units, bytes) waits for its reader, no more of it is taken. */
const MOST_WAITING = 1 << 20;
/** Milliseconds for which a socket without readers is kept for the next one. */
const LINGER = 1000;

/** One answer's messages over a WebSocket, which others may share (PROTOCOL.md, section 9). */
export async function* websocket(call: Call): AsyncGenerator<Message> {
  const { sockets, signal } = call;
  if (!sockets) throw new TypeError("there is no WebSocket");
  const reader = new Reader(call);
  const abort = () => reader.end(signal.reason);
  const channel = await (await sockets()).join(reader);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    yield* reader.messages();
  } finally {
    signal.removeEventListener("abort", abort);
    channel.leave(reader);
    if (signal.reason === STALLED) channel.close(); // nobody hears anything on it
  }
}

/** The sockets of a client: one, unless there is more to read than one takes. */
export class Sockets {
  readonly #http: Http;
  readonly #Socket: SocketClass;
  readonly #channels = new Set<Channel>();
  #requests = 0;

  constructor(http: Http, Socket: SocketClass) {
    this.#http = http;
    this.#Socket = Socket;
  }

  /** Have a reader's answer read on a socket that is open, or on a new one. */
  async join(reader: Reader): Promise<Channel> {
    const key = (await this.#http.key()) ?? "";
    let channel = [...this.#channels].find((open) => open.fits(key, reader.stream));
    if (!channel) {
      const protocols = ["fairlead.v1"];
      if (key) protocols.push(`fairlead.key.${encodeURIComponent(key).replace(/[()]/g, hex)}`);
      const socket = new this.#Socket(this.#http.socketUrl(), protocols);
      const made = new Channel(socket, key, reader.call.silence, () => this.#channels.delete(made));
      this.#channels.add((channel = made));
    }
    channel.join(reader, key, String((this.#requests += 1)));
    return channel;
  }
}

/** One answer on a socket: what has come of it and was not taken yet. */
class Reader {
  /** Of the request that it waits for. */
  id = "";
  stream: string;
  /** Whether the server has said that the stream's events follow. */
  live = false;
  /** Whether nobody waits for them any more. */
  left = false;
  #queue: Message[] = [];
  #waiting = 0;
  #ended = false;
  #problem: unknown = null;
  #wake = () => {};

  constructor(readonly call: Call) {
    this.stream = call.place.stream;
  }

  /** Take a message in. False: too much waits already. */
  take(message: Message, size = 0): boolean {
    this.call.heard();
    this.#queue.push(message);
    this.#waiting += size;
    this.#wake();
    return this.#waiting < MOST_WAITING;
  }

  /** Nothing follows what was taken in, but this problem, if any. */
  end(problem: unknown = null): void {
    this.#ended = true;
    this.#problem ??= problem;
    this.#wake();
  }

  async *messages(): AsyncGenerator<Message> {
    for (;;) {
      const ready = this.#queue;
      this.#queue = [];
      this.#waiting = 0;
      yield* ready;
      if (this.#queue.length) continue;
      if (this.#problem) throw this.#problem;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** What it asks of the server: to read on, or to begin, after what goes along with that. */
  requests(): (object | Uint8Array<ArrayBuffer>)[] {
    const { stream, position, start } = this.call.place;
    const { id } = this;
    if (stream) return [{ type: "attach", stream, after: position, id }];
    if (!start) throw new TypeError("there is neither a question nor a stream");
    const { fields, key, over, attachments = [] } = start;
    const ids = attachments.map((_, index) => `${id}.${index}`);
    const frames = attachments.map((attachment, index) => inFrame(attachment, ids[index]!));
    const along = ids.length ? { attachments: ids } : {};
    return [
      ...frames,
      { ...fields, ...along, key, type: over ? "interrupt" : "chat", ...over, id },
    ];
  }

  /** Whether a message with this id answers what it asked. */
  asked(id: string): boolean {
    return id === this.id || id.startsWith(`${this.id}.`);
  }
}

/** One WebSocket. */
class Channel {
  readonly #socket: SocketLike;
  readonly #readers = new Set<Reader>();
  readonly #onEnd: () => void;
  #key: string;
  /** What is to be said when the socket is open; null: it is. */
  #unsaid: (string | Uint8Array<ArrayBuffer>)[] | null = [];
  #pinging: ReturnType<typeof setInterval> | undefined;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: SocketLike, key: string, silence: number, onEnd: () => void) {
    this.#socket = socket;
    this.#key = key;
    this.#onEnd = onEnd;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      for (const said of this.#unsaid ?? []) socket.send(said);
      this.#unsaid = null;
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      try {
        this.#take(decoded(data), data as string | ArrayBuffer);
      } catch (error) {
        this.#end(() => error);
        socket.close(1000);
      }
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.#end((live) => meaning(code, reason, live));
    socket.onerror = () => {}; // `onclose` follows; without a listener Node would end the program
    // The server's pings show themselves to no page: on a quiet line its silence is broken so.
    const half = silence / 2;
    if (half < 2 ** 31) this.#pinging = setInterval(() => this.#say({ type: "ping" }), half);
  }

  /** Whether a stream can be read here. A socket reads a stream once. */
  fits(key: string, stream: string): boolean {
    const readers = [...this.#readers];
    const elsewhere = !stream || readers.every((reader) => reader.stream !== stream);
    return elsewhere && readers.length < MOST_STREAMS && (key !== "" || this.#key === "");
  }

  join(reader: Reader, key: string, id: string): void {
    clearTimeout(this.#lingering);
    this.#readers.add(reader);
    reader.id = id;
    if (key !== this.#key) this.#say({ type: "authenticate", token: (this.#key = key), id });
    for (const request of reader.requests()) this.#say(request);
  }

  leave(reader: Reader): void {
    if (!this.#readers.has(reader)) return;
    reader.left = true; // one that has no answer yet is forgotten when it comes
    if (reader.live) this.#detach(reader);
    this.#rest();
  }

  /** Close it at once: the other end may never say that it heard of it. */
  close(): void {
    this.#end((live) => meaning(0, "", live));
    this.#socket.close(1000);
  }

  #say(message: object | Uint8Array<ArrayBuffer>): void {
    const said = message instanceof Uint8Array ? message : JSON.stringify(message);
    if (this.#unsaid) this.#unsaid.push(said);
    else this.#socket.send(said);
  }

  #detach(reader: Reader): void {
    this.#readers.delete(reader);
    this.#say({ type: "detach", stream: reader.stream });
  }

  /** Close it soon, where nobody reads. */
  #rest(): void {
    clearTimeout(this.#lingering);
    for (const reader of this.#readers) if (!reader.left) return;
    this.#lingering = setTimeout(() => this.close(), LINGER);
  }

  #take(message: Message & { id?: string }, data: string | ArrayBuffer): void {
    const { type, id, stream } = message;
    for (const reader of this.#readers) {
      if (type === "pong") {
        reader.call.heard();
      } else if (id) {
        if (reader.asked(id)) this.#answer(reader, message);
      } else if (!stream || (reader.live && reader.stream === stream)) {
        const room = reader.take(message, typeof data === "string" ? data.length : data.byteLength);
        if (LAST.has(type)) {
          this.#readers.delete(reader);
          reader.end();
        } else if (!room) {
          this.#detach(reader); // it goes on from its position, when what has come is read
          reader.take({ type: AGAIN, data: {} });
        }
      }
    }
    this.#rest();
  }

  /** What came of a reader's own request. */
  #answer(reader: Reader, message: Message): void {
    const { type, stream = "" } = message;
    if (type === "error") {
      this.#readers.delete(reader);
      reader.take(message);
    } else if (type === "started" || type === "attached") {
      for (const other of this.#readers) {
        if (!other.live || other.stream !== stream) continue;
        // The same answer, asked for twice: the socket reads it for the later one from now on.
        this.#readers.delete(other);
        other.take({ type: AGAIN, data: {} });
      }
      reader.live = true;
      reader.stream = stream;
      if (message.data["closed"]) {
        this.#readers.delete(reader);
        reader.take({ type: CLOSED, data: {} });
      } else if (reader.left) this.#detach(reader);
      else reader.take(message);
    }
  }

  #end(why: (live: boolean) => unknown): void {
    clearInterval(this.#pinging);
    clearTimeout(this.#lingering);
    this.#onEnd();
    for (const reader of this.#readers) reader.end(why(reader.live));
    this.#readers.clear();
  }
}

/** After these the server reads a stream no further. */
const LAST: ReadonlySet<string> = new Set(["done", "error", "drain"]);

/**
 * What a close code says to a reader; null: nothing but that the socket has ended. `live`: its
 * events had begun to come. A socket that ends before that may not have got through at all.
 */
function meaning(code: number, reason: string, live: boolean): FairleadError | null {
  const error = reason || `the WebSocket was closed (${code})`;
  const refused = (code: string, retryable = false) =>
    new FairleadError({ error, code, retryable });
  if (code === 1008) return refused("unauthenticated");
  if (code === 1012) return refused("draining", true);
  if (code === 1013) return refused("busy", true);
  // Whose message it was is not said; one that was answered before it was not.
  if (code === 1009 && !live) return refused("too_large");
  return live ? unreachable(error) : null;
}

const hex = (character: string) => `%${character.charCodeAt(0).toString(16)}`;

/** A message from a text frame, or, with media, from a binary one: a line, and the bytes. */
function decoded(data: unknown): Message {
  let text = data;
  let media: Uint8Array | null = null;
  if (data instanceof ArrayBuffer) {
    const bytes = new Uint8Array(data);
    const end = bytes.indexOf(10);
    text = new TextDecoder().decode(bytes.subarray(0, end));
    media = bytes.slice(end + 1);
  }
  if (typeof text !== "string") throw notUnderstood("a frame of an unknown kind");
  const message = parsed(text) as unknown as Message;
  return { ...message, data: { ...message.data, ...(media && { data: media }) } };
}
