import { Answer, type Verbs } from "./answer.js";
import type { Attachment } from "./attachments.js";
import type { AnswerDocument, Conversation, ConversationSummary } from "./documents.js";
import { notUnderstood } from "./errors.js";
import { Http, type Access, type Init } from "./http.js";
import type { ConnectionState, Means, Patience } from "./line.js";
import { Path, type Ladder } from "./path.js";
import type { Place, Start, TransportName } from "./transport.js";
import type { SocketClass, Sockets } from "./websocket.js";

/** Settings of a {@link Fairlead} client. */
export interface ClientOptions extends Access, Patience {
  /**
   * How answers are read. `auto` begins with `sse`, falls to `websocket` and then to `poll` on a
   * path that holds streams back, and climbs again when it no longer does. `ndjson` and `connect`
   * are never chosen by themselves: they are for proxies, logs and servers that know them.
   */
  transport?: "auto" | TransportName;
  /**
   * With `auto` begin with `websocket` (false): for answers that people interrupt, or that bring
   * media, which come there as bytes and not as text.
   */
  interruptible?: boolean;
  /** The class to make WebSockets of, where there is none by itself: in Node 20, that of `ws`. */
  WebSocket?: SocketClass;
}

/** How to read an answer. */
export interface ReadOptions {
  /** Ends the reading with its reason; the answer goes on. */
  signal?: AbortSignal;
  /** Is told how the connection stands. */
  onConnection?: (state: ConnectionState) => void;
  /** Instead of the client's own setting. */
  interruptible?: boolean | undefined;
}

/** Beside the question (PROTOCOL.md, section 4). */
export interface AskOptions extends ReadOptions {
  /** The dialogue to go on with; none: a new one. */
  conversationId?: string | undefined;
  /** The message to follow instead of the newest one, which makes a branch. "" begins anew. */
  parent?: string | undefined;
  /** A question, or the answer to it, that is to be answered once more (the message is then ""). */
  regenerate?: string | undefined;
  model?: string | undefined;
  /** Instructions to the model. */
  system?: string | undefined;
  /** Pictures and texts that go along with the question. */
  attachments?: readonly Attachment[] | undefined;
  /** Further settings in the model's own words. */
  parameters?: Record<string, unknown> | undefined;
  /** Seconds that the answer is written on while nobody reads it (60). */
  orphanWindow?: number | undefined;
  /** Write on to the end, whoever reads. */
  background?: boolean | undefined;
  /**
   * The idempotency key: the same key asks once, however often it is sent. By default a new one,
   * so that one call never asks twice. Give your own where a call itself may be repeated.
   */
  key?: string | undefined;
}

/** How to ask in the middle of an answer. The dialogue is that of the answer. */
export interface InterruptOptions extends Omit<
  AskOptions,
  "conversationId" | "parent" | "regenerate" | "interruptible"
> {
  /**
   * The position up to which the person has seen the answer. By default that of the last event that
   * was read.
   */
  shown?: string | undefined;
}

/** Where to begin. */
export interface AttachOptions extends ReadOptions {
  /** Read what follows this position; none: from the start. */
  after?: string;
}

/** Milliseconds until a broken connection is made anew, until the server names its own time. */
const FIRST_RETRY = 1000;

/**
 * A client of one server.
 *
 * ```ts
 * const fairlead = new Fairlead({ baseUrl: "https://example.org" });
 * for await (const event of fairlead.ask("What is a position?")) {
 *   if (event.type === "token") process.stdout.write(event.data.token);
 * }
 * ```
 */
export class Fairlead {
  readonly #http: Http;
  readonly #path = new Path();
  #ladder: Ladder;
  readonly #sockets: (() => Promise<Sockets>) | null;
  readonly #interruptible: boolean;
  readonly #patience: Required<Patience>;

  constructor(options: ClientOptions = {}) {
    const { transport = "auto", interruptible = false, WebSocket = globalThis.WebSocket } = options;
    this.#http = new Http(options);
    let sockets: Sockets | undefined;
    this.#sockets = WebSocket
      ? async () => {
          // Whoever reads over it has fetched it by now.
          const module = await import("./websocket.js");
          return (sockets ??= new module.Sockets(this.#http, WebSocket));
        }
      : null;
    this.#interruptible = interruptible;
    if (interruptible || transport === "websocket") this.#needSockets();
    this.#ladder = this.#steps(transport);
    this.#patience = {
      maxRetries: options.maxRetries ?? 8,
      refusals: options.refusals ?? "retry",
      maxDelay: options.maxDelay ?? Infinity,
      silence: options.silence ?? 60_000,
      firstSign: options.firstSign ?? 10_000,
    };
  }

  /** Ask, and read the answer. Nothing is sent before the {@link Answer} is read. */
  ask(message: string, options: AskOptions = {}): Answer {
    return this.#begin(options, {
      fields: asked(message, options),
      attachments: options.attachments,
      key: options.key ?? randomKey(),
    });
  }

  /** Read an answer that was asked for before, here or elsewhere. */
  attach(stream: string, options: AttachOptions = {}): Answer {
    if (!stream) throw new TypeError("which stream?");
    return this.#begin(options, null, stream, options.after);
  }

  /** Stop an answer, for all its readers. What was written stays. As often as you like. */
  async stop(stream: string): Promise<AnswerDocument> {
    return this.#document(`/streams/${encodeURIComponent(stream)}/stop`, { method: "POST" });
  }

  /** An answer as a whole, so far. */
  async answer(stream: string): Promise<AnswerDocument> {
    return this.#document(`/streams/${encodeURIComponent(stream)}`);
  }

  /** A conversation with its messages. */
  async conversation(id: string): Promise<Conversation> {
    return this.#document(`/conversations/${encodeURIComponent(id)}`);
  }

  /** Take the branch of a conversation into use that ends in the message `leaf`. */
  async select(id: string, leaf: string): Promise<ConversationSummary> {
    return this.#document(`/conversations/${encodeURIComponent(id)}`, {
      method: "PATCH",
      body: JSON.stringify({ leaf }),
      headers: { "Content-Type": "application/json" },
    });
  }

  /**
   * Read over another transport from the next connection on: in the middle of an answer, too, once
   * its connection ends.
   */
  prefer(transport: "auto" | TransportName): void {
    if (transport === "websocket") this.#needSockets();
    this.#ladder = this.#steps(transport);
  }

  #steps(transport: "auto" | TransportName): Ladder {
    if (transport !== "auto") return [transport];
    return this.#sockets ? ["sse", "websocket", "poll"] : ["sse", "poll"];
  }

  async #document<T>(path: string, init: Init = {}): Promise<T> {
    const document = await this.#http.json<T>(path, init);
    if (document === null) throw notUnderstood("nothing");
    return document;
  }

  #begin(options: ReadOptions, start: Start | null, stream = "", position = ""): Answer {
    const { interruptible = this.#interruptible } = options;
    if (interruptible) this.#needSockets();
    const place = { start, stream, position, retry: FIRST_RETRY };
    // Said of the client it is a matter of `auto` alone.
    const first = () => interruptible && (options.interruptible || this.#ladder.length > 1);
    const ladder = () => (first() ? this.#socketFirst() : this.#ladder);
    return this.#answer(place, options, ladder);
  }

  /** Stop an answer and ask on. `stream` is known when it has begun. */
  #interrupt(stream: Promise<string>, message: string, options: InterruptOptions): Answer {
    const { shown = "", key } = options;
    const place: Place = { start: null, stream: "", position: "", retry: FIRST_RETRY };
    const ready = stream.then((stream) => {
      // By default the server's own key for it: said again, by whomever, it is the same act.
      place.start = {
        fields: asked(message, options),
        attachments: options.attachments,
        key: key ?? `interrupt ${stream}`,
        over: { stream, shown },
      };
    });
    const ladder = () => (this.#ladder.length > 1 ? this.#socketFirst() : this.#ladder);
    return this.#answer(place, options, ladder, ready);
  }

  /** A WebSocket, where there is one and it gets through: what is said on it takes no connection. */
  #socketFirst(): Ladder {
    return this.#sockets
      ? [...new Set<TransportName>(["websocket", ...this.#ladder])]
      : this.#ladder;
  }

  #needSockets(): void {
    if (this.#sockets) return;
    throw new TypeError(
      "there is no WebSocket here: give the client a class of that kind as its option 'WebSocket', " +
        "such as that of the package ws",
    );
  }

  #answer(
    place: Place,
    { signal, onConnection }: ReadOptions,
    ladder: () => Ladder,
    ready?: Promise<unknown>,
  ): Answer {
    const means: Means = {
      http: this.#http,
      sockets: this.#sockets,
      path: this.#path,
      ladder,
      patience: this.#patience,
      onConnection,
    };
    const verbs: Verbs = {
      stop: (stream) => this.stop(stream),
      interrupt: (stream, message, options) => this.#interrupt(stream, message, options),
    };
    const answer = new Answer(means, place, verbs, ready);
    if (signal) answer.closeWith(signal);
    return answer;
  }
}

/** A question as the wire has it. */
function asked(message: string, options: AskOptions): Record<string, unknown> {
  return {
    ...(message && { message }),
    conversation_id: options.conversationId,
    parent: options.parent,
    regenerate: options.regenerate,
    model: options.model,
    system: options.system,
    parameters: options.parameters,
    orphan_window: options.orphanWindow,
    background: options.background,
  };
}

/** 128 random bits. `crypto.randomUUID` exists only in pages that came over HTTPS or localhost. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
