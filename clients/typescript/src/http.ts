import { FairleadError, notUnderstood, unreachable } from "./errors.js";

/** Where the server is, and who asks. */
export interface Access {
  /**
   * The server's address with its path prefix, such as `https://example.org/ai`. In a page it may be
   * relative; left out it is the page's own origin.
   */
  baseUrl?: string;
  /**
   * Sent as `Authorization: Bearer …`, and where that cannot be, on a WebSocket, as a subprotocol. A
   * function is asked before every request, and so again when a credential has expired.
   */
  apiKey?: string | (() => string | Promise<string>);
  /** Further headers of every request over HTTP. A WebSocket takes none. */
  headers?: Record<string, string>;
  /** For cookies across origins; see `fetch`. */
  credentials?: RequestCredentials;
  /** Another `fetch`, for tests or for a proxy. */
  fetch?: typeof globalThis.fetch;
}

/** A request; its headers are a plain object. */
export type Init = Omit<RequestInit, "headers"> & { headers?: Record<string, string> };

const LATER: ReadonlySet<number> = new Set([408, 425, 429]);

/** Requests to one server. */
export class Http {
  readonly #access: Access;
  readonly #base: string;

  constructor(access: Access) {
    this.#access = access;
    this.#base = (access.baseUrl ?? "").replace(/\/+$/, "");
  }

  /** The credential to ask with now, if there is one. */
  async key(): Promise<string | undefined> {
    const { apiKey } = this.#access;
    return typeof apiKey === "function" ? apiKey() : apiKey;
  }

  /** Whether there may be another credential later. */
  get renews(): boolean {
    return typeof this.#access.apiKey === "function";
  }

  /** The address for WebSockets. */
  socketUrl(): string {
    const page = globalThis.document?.baseURI ?? globalThis.location?.href;
    return new URL(`${this.#base}/ws`, page).href.replace(/^http/, "ws");
  }

  /** A response with a good status. Throws {@link FairleadError}, or as `fetch` does on abort. */
  async request(path: string, init: Init = {}): Promise<Response> {
    const { headers, credentials } = this.#access;
    const key = await this.key();
    const fetch = this.#access.fetch ?? globalThis.fetch;
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        ...init,
        ...(credentials && { credentials }),
        headers: {
          ...headers,
          ...(key && { Authorization: `Bearer ${key}` }),
          ...init.headers,
        },
      });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw unreachable(error);
    }
    if (!response.ok) throw await stated(response);
    return response;
  }

  /** The JSON object that answers a request; null where there is no body (204). */
  async json<T>(path: string, init: Init = {}): Promise<T | null> {
    const headers = { Accept: "application/json", ...init.headers };
    const response = await this.request(path, { ...init, headers });
    return response.status === 204 ? null : ((await objectOf(response, init.signal)) as T);
  }
}

/** The JSON object that is a response's body. */
export async function objectOf(
  response: Response,
  signal: AbortSignal | null | undefined,
): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(error);
  }
  return parsed(text);
}

/** A JSON object from the wire. */
export function parsed(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (typeof value !== "object" || value === null) throw notUnderstood("something not in JSON");
  return value as Record<string, unknown>;
}

async function stated(response: Response): Promise<FairleadError> {
  const { status } = response;
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const retry_after = after >= 0 ? after : null;
  let body: Record<string, unknown> = {};
  try {
    body = parsed(await response.text());
  } catch {
    // A proxy's page, or the connection broke: the status has to do.
  }
  const { error, code, retryable, budget } = body;
  if (typeof error === "string" && typeof code === "string") {
    const wait = typeof body["retry_after"] === "number" ? body["retry_after"] : retry_after;
    const again = retryable === true || LATER.has(status);
    return new FairleadError(
      {
        ...{ error, code, retryable: again, retry_after: wait },
        ...(typeof budget === "string" && { budget }),
      },
      status,
    );
  }
  return new FairleadError(
    {
      error: `HTTP ${status}`,
      code: status === 401 ? "unauthenticated" : status === 404 ? "not_found" : "protocol",
      retryable: status >= 500 || LATER.has(status),
      retry_after,
    },
    status,
  );
}
