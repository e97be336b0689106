import { Answer } from "./answer.js";
import { notUnderstood } from "./errors.js";
import type { EventData, Source } from "./events.js";
import { Http, type Access, type Init } from "./http.js";
import type { ConnectionState, Means, Patience } from "./line.js";
import { Path } from "./path.js";
import type { Place, TransportName } from "./transport.js";

/** Settings of a {@link Fairlead} client. */
export interface ClientOptions extends Access, Patience {
  /**
   * How answers are read. `auto` begins with `sse`, falls to `poll` on a path that holds streams
   * back, and climbs again when it no longer does.
   */
  transport?: "auto" | TransportName;
}

/** How to read an answer. */
export interface ReadOptions {
  /** Ends the reading with its reason; the answer goes on. */
  signal?: AbortSignal;
  /** Is told how the connection stands. */
  onConnection?: (state: ConnectionState) => void;
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

/** Where to begin. */
export interface AttachOptions extends ReadOptions {
  /** Read what follows this position; none: from the start. */
  after?: string;
}

/** An answer as the server has it (PROTOCOL.md, section 3). */
export interface AnswerDocument {
  stream: string;
  status: "running" | "completed" | "stopped" | "failed" | "interrupted";
  text: string;
  sources: Source[];
  position: string | null;
  conversation_id: string;
  message_id: string;
  provider: string;
  model: string;
  created: number;
  reasoning?: string;
  usage?: EventData["usage"];
  reason?: string;
  error?: string;
  code?: string;
  retryable?: boolean;
  notice?: string;
}

/** A message of a conversation. */
export interface ConversationMessage {
  message_id: string;
  parent: string | null;
  role: "user" | "assistant";
  text: string;
  status: AnswerDocument["status"];
  created: number;
  /** The stream of an answer. */
  stream?: string;
  sources?: Source[];
}

/** A conversation with the messages of all its branches. */
export interface Conversation {
  conversation_id: string;
  title: string;
  /** The last message of the branch in use, or null. */
  leaf: string | null;
  messages: ConversationMessage[];
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
  readonly #path: Path;
  readonly #patience: Required<Patience>;

  constructor(options: ClientOptions = {}) {
    const { transport = "auto" } = options;
    this.#http = new Http(options);
    this.#path = new Path(transport === "auto" ? ["sse", "poll"] : [transport]);
    this.#patience = {
      maxRetries: options.maxRetries ?? 8,
      maxDelay: options.maxDelay ?? Infinity,
      silence: options.silence ?? 60_000,
      firstSign: options.firstSign ?? 10_000,
    };
  }

  /** Ask, and read the answer. Nothing is sent before the {@link Answer} is read. */
  ask(message: string, options: AskOptions = {}): Answer {
    const body = JSON.stringify({
      ...(message && { message }),
      conversation_id: options.conversationId,
      parent: options.parent,
      regenerate: options.regenerate,
      model: options.model,
      system: options.system,
      parameters: options.parameters,
      orphan_window: options.orphanWindow,
      background: options.background,
    });
    const start = { body, key: options.key ?? randomKey() };
    return this.#answer({ start, stream: "", position: "", retry: FIRST_RETRY }, options);
  }

  /** Read an answer that was asked for before, here or elsewhere. */
  attach(stream: string, options: AttachOptions = {}): Answer {
    if (!stream) throw new TypeError("which stream?");
    const position = options.after ?? "";
    return this.#answer({ start: null, stream, position, retry: FIRST_RETRY }, options);
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

  async #document<T>(path: string, init: Init = {}): Promise<T> {
    const document = await this.#http.json<T>(path, init);
    if (document === null) throw notUnderstood("nothing");
    return document;
  }

  #answer(place: Place, { signal, onConnection }: ReadOptions): Answer {
    const means: Means = {
      http: this.#http,
      path: this.#path,
      patience: this.#patience,
      onConnection,
    };
    const answer = new Answer(means, place, (stream) => this.stop(stream));
    if (signal) answer.closeWith(signal);
    return answer;
  }
}

/** 128 random bits. `crypto.randomUUID` exists only in pages that came over HTTPS or localhost. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
