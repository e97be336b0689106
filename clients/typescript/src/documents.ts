import type { BudgetLeft, EventData, Source } from "./events.js";

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
  attachments?: Attached[];
  /** How many characters of it were shown when it was interrupted. */
  shown?: number;
}

/** What came with a question; `client.attachment` fetches its bytes. */
export interface Attached {
  attachment_id: string;
  type: string;
  size: number;
  name?: string;
}

/** A conversation without its messages. */
export interface ConversationSummary {
  conversation_id: string;
  title: string;
  /** Seconds since 1970. */
  created: number;
  updated: number;
  /** The last message of the branch in use, or null. */
  leaf: string | null;
  /** How that message stands; only where conversations are listed. */
  status?: AnswerDocument["status"] | null;
}

/** A page of conversations. */
export interface ConversationPage {
  conversations: ConversationSummary[];
  /** Where the next page begins; null: there is none. */
  cursor: string | null;
}

/** A conversation with the messages of all its branches. */
export interface Conversation extends Omit<ConversationSummary, "status"> {
  messages: ConversationMessage[];
}

/** A passage of a document; `before` and `after` where what surrounds it was asked for. */
export interface Passage {
  id: string;
  document: string;
  title: string;
  address: string;
  heading: string;
  span: [number, number];
  text: string;
  before?: string;
  after?: string;
}

/** What became of a document that was sent. */
export interface TakenDocument {
  address: string;
  outcome: "added" | "updated" | "unchanged";
  passages: number;
}

/** What a server is and offers. */
export interface Info {
  name: string;
  version: string;
  protocol: string;
  models: { name: string; provider: string }[];
  knowledge: boolean;
  /** In one line who answers, when that is worth saying. */
  notice: string;
  /** What answers can be read over: `sse`, `websocket`, `poll`, `ndjson`, `connect`. */
  transports: string[];
  /** Whether the server wants its page's answers written to their end, though nobody reads them. */
  page_background?: boolean;
  /** What may come with a question; sizes in bytes. */
  attachments: { types: string[]; number: number; bytes: number; total: number };
  /** What documents may be sent; null: none, by this caller. */
  documents: { types: string[]; bytes: number } | null;
}

/** The models that can be asked. */
export interface Models {
  models: { name: string; provider: string }[];
  aliases: { name: string; model: string }[];
  default: string;
}

/** Who is asking. */
export interface Me {
  /** Null without a credential where one is needed. */
  consumer: string | null;
  scopes?: string[];
  expires_at?: number | null;
  /** The kind of credential; null: none. */
  by?: string | null;
  /** Where one logs in with a browser; null: nowhere. */
  login: string | null;
}

/** A budget that questions are charged to. */
export interface Budget extends BudgetLeft {
  limit: number;
  per: string;
  used: number;
  refills_in: number;
  on_exhausted: "cut" | "slow";
  model?: string;
  models?: string[];
}
