import type { InterruptOptions } from "./client.js";
import { FairleadError } from "./errors.js";
import type { AnswerEvent, EventData, Source } from "./events.js";
import { follow, type Means } from "./line.js";
import { EMPTY, failed, fold, type AnswerState } from "./state.js";
import type { Place } from "./transport.js";
import { delay, offline, pause } from "./waiting.js";

/** What {@link Answer.listen} calls. All are optional. */
export interface Callbacks {
  onThinking?: (thinking: EventData["thinking"]) => void;
  onSources?: (sources: Source[]) => void;
  /** The next piece of the answer's text. */
  onToken?: (token: string) => void;
  /** Replace the text that you have: the server lost what you had seen. */
  onReset?: (text: string) => void;
  onDone?: (done: EventData["done"]) => void;
  /** The answer failed, or cannot be read any more. Nothing follows. */
  onError?: (error: FairleadError) => void;
  /** Every event, before its own callback. */
  onEvent?: (event: AnswerEvent) => void;
}

/** What an answer asks of its client. */
export interface Verbs {
  stop(stream: string): Promise<unknown>;
  interrupt(stream: Promise<string>, message: string, options: InterruptOptions): Answer;
}

/**
 * An answer that is being read. Read it once, in one of three ways: as an async iterator of events,
 * with {@link listen}, or with {@link result}. Nothing is sent before that.
 *
 * Leaving it (a `break`, {@link close}, an aborted signal) ends the reading, not the answer: the
 * server writes it on, and `client.attach(answer.stream, …)` reads it. {@link stop} ends it, and
 * {@link interrupt} ends it and asks on.
 */
export class Answer implements AsyncIterable<AnswerEvent> {
  readonly #means: Means;
  readonly #place: Place;
  readonly #closing = new AbortController();
  readonly #verbs: Verbs;
  readonly #ready: Promise<unknown> | undefined;
  #read = false;
  #ended = false;
  #stopping: Promise<unknown> | null = null;
  /** Ends the wait until a stop is sent again. */
  #wake: () => void = () => {};
  #known!: () => void;
  readonly #whenKnown = new Promise<void>((resolve) => {
    this.#known = resolve;
  });

  /** @internal */
  constructor(means: Means, place: Place, verbs: Verbs, ready?: Promise<unknown>) {
    this.#means = means;
    this.#place = place;
    this.#verbs = verbs;
    this.#ready = ready;
    ready?.catch(() => {}); // said where it is read
    if (place.stream) this.#known();
  }

  /** The stream's id; empty until the server has named it. */
  get stream(): string {
    return this.#place.stream;
  }

  /** Where the reading stands: `attach(stream, { after: position })` goes on from here. */
  get position(): string {
    return this.#place.position;
  }

  /**
   * The events, each exactly once and in order, to `done` or `error`. The iteration throws a
   * {@link FairleadError} when the rest cannot be read.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<AnswerEvent, void, undefined> {
    if (this.#read) throw new TypeError("an answer is read once; attach() reads it again");
    this.#read = true;
    const { signal } = this.#closing;
    try {
      if (this.#ready) await unlessAborted(this.#ready, signal);
      for await (const event of follow(this.#means, this.#place, signal)) {
        this.#known();
        this.#ended = event.type === "done" || event.type === "error";
        this.#wake();
        yield event;
        signal.throwIfAborted();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      if (signal.reason !== CLOSED) throw signal.reason;
    } finally {
      this.#known();
    }
  }

  /** Read it with callbacks. The function returned ends the reading; nothing is called after it. */
  listen(callbacks: Callbacks): () => void {
    void this.#listen(callbacks);
    return () => this.close();
  }

  async #listen(callbacks: Callbacks): Promise<void> {
    const { onThinking, onSources, onToken, onReset, onDone, onError, onEvent } = callbacks;
    const { signal } = this.#closing;
    let problem: FairleadError | null = null;
    const events = this[Symbol.asyncIterator]();
    for (;;) {
      let next: IteratorResult<AnswerEvent, void>;
      try {
        next = await events.next();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof FairleadError)) throw error;
        problem = error;
        break;
      }
      if (next.done || signal.aborted) return;
      const event = next.value;
      onEvent?.(event);
      if (event.type === "thinking") onThinking?.(event.data);
      else if (event.type === "sources") onSources?.(event.data.sources);
      else if (event.type === "token") {
        if (!event.data.part) onToken?.(event.data.token);
      } else if (event.type === "reset") onReset?.(event.data.text);
      else if (event.type === "done") onDone?.(event.data);
      else if (event.type === "error") onError?.(new FairleadError(event.data));
    }
    onError?.(problem);
  }

  /**
   * Read it to its end, and give it as a whole: `status` says how it ended. Where the rest cannot be
   * read it is `failed`, with the `error`. `onChange` is called with the answer so far, and
   * with the event that brought it there.
   */
  async result(
    onChange?: (state: AnswerState, event: AnswerEvent | null) => void,
  ): Promise<AnswerState> {
    let state: AnswerState = EMPTY;
    try {
      for await (const event of this) {
        state = fold(state, event);
        onChange?.(state, event);
      }
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      state = failed(state, error);
      onChange?.(state, null);
    }
    return state;
  }

  /**
   * Stop the answer itself, for all its readers. What was written stays, and `done` follows. A stop
   * that cannot be delivered is sent again, with the client's `maxRetries`, and as soon as the line
   * is back.
   */
  stop(): Promise<unknown> {
    this.#stopping ??= this.#stop().catch((error: unknown) => {
      this.#stopping = null;
      throw error;
    });
    return this.#stopping;
  }

  async #stop(): Promise<unknown> {
    await this.#whenKnown;
    for (let failures = 1; this.stream && !this.#ended; failures += 1) {
      try {
        return await this.#verbs.stop(this.stream);
      } catch (error) {
        if (!(error instanceof FairleadError)) throw error;
        const { maxRetries, maxDelay } = this.#means.patience;
        if (!error.retryable || failures > maxRetries) throw error;
        const asked = error.retryAfter === null ? null : error.retryAfter * 1000;
        const wait = Math.min(delay(failures, this.#place.retry, asked, Math.random()), maxDelay);
        const waking = new AbortController();
        this.#wake = () => waking.abort();
        await pause(offline() ? Infinity : wait, waking.signal).catch(() => {});
      }
    }
    return null;
  }

  /**
   * Stop the answer and ask on, in one act: the answer to that. Its prompt contains this answer up to
   * the position `shown`, which is what the person has seen; the record keeps everything. Nothing is
   * sent before the new answer is read. However often it is tried, it asks once.
   *
   * It goes over a WebSocket where the client chooses its transport and one gets through, and else
   * over HTTP.
   */
  interrupt(message: string, options: InterruptOptions = {}): Answer {
    if (!this.#read && !this.stream) throw new TypeError("this answer is not being read yet");
    const stream = this.#whenKnown.then(() => {
      if (this.stream) return this.stream;
      throw new FairleadError({ error: "the answer never began", code: "not_found" });
    });
    return this.#verbs.interrupt(stream, message, {
      ...options,
      shown: options.shown ?? this.position,
    });
  }

  /** End the reading. The answer goes on without us. */
  close(): void {
    this.#closing.abort(CLOSED);
    this.#known();
  }

  /** @internal End the reading when `signal` aborts, with its reason. */
  closeWith(signal: AbortSignal): void {
    const abort = () => this.#closing.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true, signal: this.#closing.signal });
  }
}

const CLOSED = Symbol("closed");

function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    promise.then(resolve, reject);
  });
}
