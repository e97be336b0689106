import type { AnswerDocument } from "./documents.js";
import { notUnderstood } from "./errors.js";
import { Http, type Access, type Init } from "./http.js";

/** A stream that a node of the server writes, queues or reads. */
export interface LiveStream {
  stream: string;
  /** `elsewhere`: another node writes it, or has it wait. `read`: it is only read here. */
  state: "queued" | "writing" | "elsewhere" | "read";
  /** How many read it on the node that answers, by transport. */
  readers: Record<string, number>;
  /** The node that has it; empty: the one that answers. */
  node: string;
  /** Whose it is. */
  consumer: string;
  model: string;
  provider: string;
  conversation: string;
  /** Of one that is queued; else 0. */
  place: number;
  /** Seconds since it began here; null for one that is only read. */
  age: number | null;
  /** Of its answer so far; 0 for one of another node. */
  tokens: number;
  /** Tokens a second, of late. */
  rate: number;
}

/** How an upstream stands. The counts are those since the server's start. */
export interface UpstreamHealth {
  name: string;
  models: string[];
  /** Of its circuit breaker. */
  state: "closed" | "open" | "half_open";
  /** What its health check found. */
  well: boolean;
  /** Whether it would be asked now. */
  usable: boolean;
  /** Seconds until it is tried again; null: nothing is waited for. */
  resumes_in: number | null;
  in_flight: number;
  /** How many answers it is given at once; 0: no limit. */
  room: number;
  waiting: number;
  asked: number;
  answered: number;
  failed: number;
  rate_limited: number;
  refused: number;
  /** The code of its newest failure; empty: there was none. */
  last_error: string;
  /** Seconds since 1970; 0: never. */
  failed_at: number;
}

/** How one node of the server does. */
export interface Overview {
  /** The server's time, in seconds since 1970. */
  at: number;
  node: string;
  draining: boolean;
  writing: number;
  queued: number;
  /** By transport. */
  readers: Record<string, number>;
  /** Tokens a second, of all answers together. */
  rate: number;
  /** The living nodes that share the store, this one first. */
  nodes: string[];
  /** How many streams there are of those asked for; `streams` are the first of them. */
  matching: number;
  streams: LiveStream[];
  upstreams: UpstreamHealth[];
}

/** Which streams to show, and in which order. */
export interface Look {
  /** What their stream, consumer, model, provider or conversation has in it. */
  search?: string;
  state?: LiveStream["state"] | "";
  /** Numbers the largest first, words by the alphabet. */
  sort?: "order" | "age" | "rate" | "tokens" | "readers" | "consumer" | "model" | "state";
  backwards?: boolean;
  /** How many at most (100). */
  limit?: number;
}

/** A budget, and who has used most of it in this window. Money is in its currency. */
export interface BudgetStanding {
  name: string;
  unit: string;
  limit: number;
  per: string;
  keyed_by: string[];
  /** Seconds since 1970. */
  refills_at: number;
  keys: { key: string; used: number; remaining: number }[];
}

/** What was used; the fields that it is not added up by are empty. */
export interface UsageRow {
  day: string;
  consumer: string;
  model: string;
  requests: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  estimated: number;
  money?: number;
  currency?: string;
}

/** What usage to show. Days are UTC (`2026-11-20`), both included. */
export interface UsageQuery {
  since?: string;
  until?: string;
  consumer?: string;
  by?: "row" | "day" | "consumer" | "model";
}

/** An API key without its text. Times in seconds since 1970. */
export interface StoredKey {
  id: string;
  consumer: string;
  name: string;
  scopes: string[];
  quotas: string[];
  created: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used: number | null;
  /** The id of the key that replaces it. */
  successor: string;
  alive: boolean;
}

/** An API key as it was made: its text is shown this once. */
export interface MadeKey extends StoredKey {
  key: string;
}

/** The key to make. */
export interface NewKey {
  consumer: string;
  name?: string;
  scopes?: readonly string[];
  /** The budgets of these names are its own. */
  quotas?: readonly string[];
  /** Seconds; left out, it does not end by itself. */
  expires_in?: number;
}

/** What somebody changed. */
export interface AuditEntry {
  /** Seconds since 1970. */
  at: number;
  consumer: string;
  action: string;
  target: string;
  credential: string;
  address: string;
  details: Record<string, string>;
}

/** A page of a list; `cursor` leads to the next one, null: there is none. */
interface Paging {
  cursor?: string | null;
  limit?: number;
}

/** What an operator sees and changes; it takes the scope `admin`. To others it is `not_found`. */
export class Admin {
  readonly #http: Http;

  constructor(access: Access = {}) {
    this.#http = new Http(access);
  }

  /** How the node that answers does, in one look. */
  async overview(look: Look = {}, signal?: AbortSignal): Promise<Overview> {
    return this.#document(`/overview${query({ ...look })}`, signal ? { signal } : {});
  }

  /** Stop anybody's answer, on whatever node it is written. What was written stays. */
  async stop(stream: string): Promise<AnswerDocument> {
    return this.#document(`/streams/${encodeURIComponent(stream)}/stop`, { method: "POST" });
  }

  /** All budgets, each with those `limit` that have used most of it. */
  async budgets(limit = 50, signal?: AbortSignal): Promise<BudgetStanding[]> {
    const path = `/budgets${query({ limit })}`;
    const { budgets } = await this.#document<{ budgets: BudgetStanding[] }>(
      path,
      signal ? { signal } : {},
    );
    return budgets;
  }

  /** What was used; the last 31 days unless told. */
  async usage(
    asked: UsageQuery = {},
    signal?: AbortSignal,
  ): Promise<{ since: string; until: string; usage: UsageRow[] }> {
    return this.#document(`/usage${query({ ...asked })}`, signal ? { signal } : {});
  }

  /** The same as a table for spreadsheets. */
  async usageTable(asked: UsageQuery = {}): Promise<Blob> {
    const path = `/admin/usage${query({ ...asked, format: "csv" })}`;
    return (await this.#http.request(path)).blob();
  }

  /** The API keys of one consumer or of all, the newest first. */
  async keys(
    which: Paging & { consumer?: string } = {},
    signal?: AbortSignal,
  ): Promise<{ keys: StoredKey[]; cursor: string | null }> {
    return this.#document(`/keys${query({ ...which })}`, signal ? { signal } : {});
  }

  /** Make an API key. The first one ends the time in which nobody needed any. */
  async createKey(key: NewKey): Promise<MadeKey> {
    return this.#document("/keys", posted(key));
  }

  /** Put a new API key into the place of one, which is good for `overlap` more seconds (a day). */
  async rotateKey(id: string, overlap?: number): Promise<MadeKey> {
    const path = `/keys/${encodeURIComponent(id)}/rotate`;
    return this.#document(path, posted(overlap === undefined ? {} : { overlap }));
  }

  /** Revoke an API key, for good. What is open under it ends within seconds. */
  async revokeKey(id: string): Promise<StoredKey> {
    return this.#document(`/keys/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /** Who changed what, newest first: of an `action` or of all that begin so, of a `target`. */
  async audit(
    which: Paging & { action?: string; target?: string } = {},
    signal?: AbortSignal,
  ): Promise<{ entries: AuditEntry[]; cursor: string | null }> {
    return this.#document(`/audit${query({ ...which })}`, signal ? { signal } : {});
  }

  async #document<T>(path: string, init: Init = {}): Promise<T> {
    const document = await this.#http.json<T>(`/admin${path}`, init);
    if (document === null) throw notUnderstood("nothing");
    return document;
  }
}

/** The query of what is said; what is empty is left out. */
function query(said: Record<string, string | number | boolean | null | undefined>): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(said)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) {
      found.set(name, String(value));
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}

function posted(body: object): Init {
  return {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  };
}
