import type {
  Budget,
  ConversationPage,
  ConversationSummary,
  Info,
  Me,
  Models,
  Passage,
  TakenDocument,
} from "./documents.js";
import { notUnderstood } from "./errors.js";
import { Http, type Access, type Init } from "./http.js";

/** Which conversations to list. */
export interface ListOptions {
  /** Only those that have this in their title or in a message. */
  search?: string | undefined;
  /** Where the page before ended. */
  cursor?: string | null | undefined;
  /** How many at most (50). */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What a server offers beside its answers: conversations, passages, models, budgets, identity. */
export class Server {
  readonly #http: Http;

  constructor(access: Access = {}) {
    this.#http = new Http(access);
  }

  /** Your conversations, the most recently used first. */
  async conversations(options: ListOptions = {}): Promise<ConversationPage> {
    const { search, cursor, limit, signal } = options;
    const query = new URLSearchParams();
    if (search) query.set("search", search);
    if (cursor) query.set("cursor", cursor);
    if (limit) query.set("limit", String(limit));
    return this.#document(`/conversations?${query}`, signal ? { signal } : {});
  }

  /** Give a conversation another title. */
  async rename(id: string, title: string): Promise<ConversationSummary> {
    return this.#document(`/conversations/${encodeURIComponent(id)}`, {
      method: "PATCH",
      body: JSON.stringify({ title }),
      headers: { "Content-Type": "application/json" },
    });
  }

  /** Remove a conversation with its answers and attachments. */
  async remove(id: string): Promise<void> {
    const path = `/conversations/${encodeURIComponent(id)}`;
    await this.#http.json(path, { method: "DELETE" });
  }

  /** The bytes of an attachment. */
  async attachment(conversation: string, attachment: string): Promise<Blob> {
    const ids = [conversation, attachment].map(encodeURIComponent);
    const response = await this.#http.request(`/conversations/${ids[0]}/attachments/${ids[1]}`);
    return response.blob();
  }

  /** A passage that an answer cites, with up to `around` characters before and after it. */
  async passage(id: string, { around = 0 }: { around?: number } = {}): Promise<Passage> {
    const query = around ? `?around=${around}` : "";
    return this.#document(`/passages/${encodeURIComponent(id)}${query}`);
  }

  /**
   * Let the server take in a document, which can be cited when this is done. Its name says what it
   * is (`notes.md`). For operators: it needs the scope `admin` where the server has keys.
   */
  async document(name: string, data: BodyInit, signal?: AbortSignal): Promise<TakenDocument> {
    const path = `/documents/${encodeURIComponent(name)}`;
    return this.#document(path, { method: "PUT", body: data, ...(signal && { signal }) });
  }

  /** What the server is and offers. */
  async info(): Promise<Info> {
    return this.#document("/info");
  }

  /** The models that can be asked. */
  async models(): Promise<Models> {
    return this.#document("/models");
  }

  /** Who is asking. */
  async me(): Promise<Me> {
    return this.#document("/me");
  }

  /** End the session; where the browser logs out of the provider as well, if anywhere. */
  async logout(): Promise<{ location: string | null }> {
    return this.#document("/logout", { method: "POST" });
  }

  /** What is left of the budgets that questions are charged to. */
  async budgets(): Promise<Budget[]> {
    return (await this.#document<{ budgets: Budget[] }>("/budgets")).budgets;
  }

  async #document<T>(path: string, init: Init = {}): Promise<T> {
    const document = await this.#http.json<T>(path, init);
    if (document === null) throw notUnderstood("nothing");
    return document;
  }
}
