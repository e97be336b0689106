// The line to one answer: connections come and go, the stream is followed to its end.

import { Problem, json, request } from "./api.js";
import { EventStreamParser } from "./event-stream.js";

/** Milliseconds without a byte after which a connection is dead (heartbeats come every 30 s). */
const SILENCE = 60_000;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 20_000;
/** Milliseconds that a line cut on purpose stays cut, so that people see it happen. */
const CUT = 900;

export class Line {
  /** The stream's id, once known. */
  stream;
  reconnects = 0;

  #start;
  #on;
  #lastId = "";
  #retry = FIRST_RETRY;
  #failures = 0;
  #controller = null;
  #cut = false;
  #closed = false;
  #ended = false;
  #stopWanted = false;
  #wake = null;
  #connected = false;

  /**
   * `start`: `{body, key}` of a question to ask, or null to attach to `stream`. `on`: callbacks
   * `accepted(stream, conversation)`, `event(name, fields)`, `state(name, milliseconds)` with
   * "connecting", "open" or "waiting", and `failed(problem)` when nothing more can come.
   */
  constructor({ start = null, stream = "", on }) {
    this.#start = start;
    this.stream = stream;
    this.#on = on;
  }

  /** Follow the answer to its end or until `close()`. */
  async run() {
    const retryNow = () => this.#wake?.();
    addEventListener("online", retryNow);
    try {
      while (!this.#ended && !this.#closed) {
        let wait = null;
        try {
          await this.#connect();
        } catch (error) {
          if (this.#closed) return;
          if (error instanceof Problem) wait = this.#judge(error);
          else if (error.name !== "AbortError") throw error;
        }
        if (this.#ended || this.#closed) return;
        await this.#pause(wait);
      }
    } catch (error) {
      if (!(error instanceof Problem)) console.error(error);
      this.#ended = true;
      this.#on.failed(
        error instanceof Problem ? error : new Problem({ error: String(error), code: "page" }),
      );
    } finally {
      removeEventListener("online", retryNow);
    }
  }

  /** Leave: the answer is written on without us. */
  close() {
    this.#closed = true;
    this.#controller?.abort();
    this.#wake?.();
  }

  /** Break the connection as a bad network would; the line then mends itself. */
  cut() {
    if (this.#ended) return;
    this.#cut = true;
    this.#controller?.abort();
    this.#wake?.();
  }

  /** Stop the answer itself. What was written stays. */
  async stop() {
    this.#stopWanted = true;
    if (this.stream) await json(`streams/${this.stream}/stop`, { method: "POST" });
  }

  async #connect() {
    this.#on.state("connecting", 0);
    const controller = (this.#controller = new AbortController());
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(), SILENCE);
    };
    heard();
    try {
      const response = await this.#open(controller.signal);
      if (this.#connected) this.reconnects += 1;
      this.#connected = true;
      if (response.status === 204) return await this.#settle();
      this.#on.state("open", 0);
      await this.#read(response.body.getReader(), heard);
    } finally {
      clearTimeout(silence);
    }
  }

  async #open(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.stream) {
      if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
      else this.#on.event("restart", {});
      return await request(`streams/${this.stream}`, { headers, signal });
    }
    headers["Content-Type"] = "application/json";
    headers["Idempotency-Key"] = this.#start.key; // the same each time: asked once, however often sent
    const body = JSON.stringify(this.#start.body);
    const response = await request("chat/stream", { method: "POST", headers, body, signal });
    this.#known(
      response.headers.get("Fairlead-Stream"),
      response.headers.get("Fairlead-Conversation"),
    );
    return response;
  }

  #known(stream, conversation) {
    if (!stream || this.stream) return;
    this.stream = stream;
    this.#on.accepted(stream, conversation);
    if (this.#stopWanted) this.stop().catch((problem) => console.warn(problem));
  }

  async #read(reader, heard) {
    const parser = new EventStreamParser();
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new Problem({ error: String(error.message), code: "offline", retryable: true });
      });
      if (done) return;
      heard();
      for (const { event, data, id } of parser.feed(value)) {
        const fields = JSON.parse(data);
        if (fields.stream) this.#known(fields.stream, fields.conversation_id);
        this.#failures = 0;
        if (event === "drain") this.#retry = Math.max(500, 1000 * Number(fields.retry_after) || 0);
        else if (event === "done" || event === "error") this.#ended = true;
        this.#on.event(event, fields);
        if (id) this.#lastId = id;
        if (this.#closed) return;
        if (this.#ended) return void drain(reader);
      }
      if (parser.retry !== null) {
        this.#retry = parser.retry;
        parser.retry = null;
      }
    }
  }

  /** The server says that there is nothing after our position: take the answer as a whole. */
  async #settle() {
    const answer = await json(`streams/${this.stream}`);
    this.#ended = true;
    this.#on.event("snapshot", answer);
  }

  /** Seconds to wait before another try after a refusal; throws it where no other try can help. */
  #judge(problem) {
    if (problem.code === "gone" && this.#lastId) {
      this.#lastId = ""; // what follows our position was removed: read what is left
      return 0;
    }
    const unseen = !this.stream && problem.code !== "offline";
    if (!problem.retryable || unseen || (!this.stream && this.#failures >= 3)) throw problem;
    return problem.retryAfter;
  }

  async #pause(seconds) {
    let wait;
    if (this.#cut) wait = CUT;
    else if (seconds !== null) wait = seconds * 1000;
    else wait = Math.min(this.#retry * 2 ** this.#failures, LONGEST_RETRY);
    if (!this.#cut) this.#failures += 1;
    this.#cut = false;
    // Spread, so that a restarted server is not met by all its readers at once.
    wait *= 0.9 + Math.random() * 0.2;
    this.#on.state("waiting", wait);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}

/** Let a body end by itself, so that its connection can be used again; but not for ever. */
async function drain(reader) {
  const tired = setTimeout(() => reader.cancel(), 2000);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The answer is complete: how its connection ends matters to nobody.
  }
  clearTimeout(tired);
}
