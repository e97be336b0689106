/** What goes over the page's connections, with a hand on them. */
export class Line {
  readonly #open = new Set<() => void>();
  readonly #listeners = new Set<() => void>();

  /** `fetch`, whose connection {@link cut} breaks. */
  readonly fetch: typeof globalThis.fetch = async (input, init = {}) => {
    const own = new AbortController();
    const { signal } = init;
    const abort = () => own.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const cut = () => own.abort(new TypeError("the line was cut"));
    const streams = isStream(input, init);
    if (streams) this.#add(cut);
    try {
      const response = await globalThis.fetch(input, { ...init, signal: own.signal });
      if (streams && response.body) return watched(response, () => this.#remove(cut));
      this.#remove(cut);
      return response;
    } catch (error) {
      this.#remove(cut);
      throw error;
    }
  };

  /** `WebSocket`, whose connection {@link cut} breaks. */
  readonly WebSocket: typeof WebSocket;

  constructor() {
    const add = (cut: () => void) => this.#add(cut);
    const remove = (cut: () => void) => this.#remove(cut);
    this.WebSocket = class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        const cut = () => this.close(4000, "the line was cut");
        add(cut);
        this.addEventListener("close", () => remove(cut));
      }
    };
  }

  /** How many connections are open that carry answers. */
  get open(): number {
    return this.#open.size;
  }

  /** Break every connection that carries an answer, for real. */
  cut(): void {
    for (const cut of [...this.#open]) cut();
  }

  /** Be told when the number of open ones changes. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #add(cut: () => void): void {
    this.#open.add(cut);
    this.#tell();
  }

  #remove(cut: () => void): void {
    if (this.#open.delete(cut)) this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Whether a request's answer is one that is read as it comes: a stream, or a poll. */
function isStream(input: RequestInfo | URL, init: RequestInit): boolean {
  const headers = new Headers(init.headers);
  return (
    /^(?:text\/event-stream|application\/x-ndjson)$/.test(headers.get("Accept") ?? "") ||
    headers.get("Content-Type") === "application/connect+json" ||
    String(input).includes("wait=")
  );
}

/** The response, with word of its end. */
function watched(response: Response, ended: () => void): Response {
  const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    flush: ended,
    cancel: ended,
  } as Transformer);
  const body = response.body!.pipeThrough(watch);
  const { status, statusText, headers } = response;
  void body;
  return new Response(body, { status, statusText, headers });
}
