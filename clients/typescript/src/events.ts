/** The events of an answer, as PROTOCOL.md (section 2) describes them. */

/** A passage that the answer draws on; `[n]` in the text cites the n-th. */
export interface Source {
  id: string;
  title: string;
  address: string;
  heading: string;
  /** The first and past-the-last character of the passage in its document. */
  span: [number, number];
  score: number;
  snippet: string;
}

/** What is left of a budget. */
export interface BudgetLeft {
  name: string;
  remaining: number;
  /** `tokens`, `requests`, or a currency. */
  unit: string;
  /** Seconds since 1970. */
  refills_at: number;
}

/** What the first event of an answer says of it, beside its own fields. */
export interface Origin {
  stream?: string;
  conversation_id?: string;
  message_id?: string;
  provider?: string;
  model?: string;
  notice?: string;
}

/** The data of each kind of event. Servers may add fields; unknown ones are to be passed over. */
export interface EventData {
  thinking: {
    status: "queued" | "retrieving" | "reading" | "writing";
    message: string;
    /** The place in the queue, from 1. */
    position?: number;
  };
  sources: { count: number; sources: Source[] };
  token: { token: string; part?: number };
  reasoning: { reasoning: string; part?: number };
  part: {
    state: "open" | "close";
    part: number;
    type: "text" | "reasoning" | "tool_call" | "media";
    choice?: number;
    call_id?: string;
    name?: string;
    signature?: string;
    finish?: string;
  };
  tool: { arguments: string; part?: number };
  progress: { message: string; fraction: number | null };
  /** `data` is what it holds, or `address` says where that is. */
  media: {
    content_type: string;
    data?: Uint8Array<ArrayBuffer>;
    address?: string;
    part?: number;
  };
  usage: {
    input_tokens: number;
    output_tokens: number;
    estimated: boolean;
    cached_tokens?: number;
    budgets?: BudgetLeft[];
  };
  reset: { reason: string; text: string };
  done: { status: "completed" | "stopped"; reason?: string; finish?: string };
  error: {
    error: string;
    code: string;
    retryable: boolean;
    retry_after?: number;
    budget?: string;
  };
}

/** The name of a kind of event. */
export type EventType = keyof EventData;

/**
 * One event of an answer. `position` is where a reader stands who has seen it: reading on after it
 * gives exactly what follows. Tell the kinds apart by `type`.
 */
export type AnswerEvent = {
  [T in EventType]: { type: T; stream: string; position: string; data: EventData[T] & Origin };
}[EventType];

/** What a transport hands over: an event, or a word of the server that is not of the log. */
export interface Message {
  type: string;
  stream?: string | undefined;
  position?: string | undefined;
  data: Record<string, unknown>;
}

const KINDS: ReadonlySet<string> = new Set<EventType>([
  "thinking",
  "sources",
  "token",
  "reasoning",
  "part",
  "tool",
  "progress",
  "media",
  "usage",
  "reset",
  "done",
  "error",
]);

/** The message as an event of `stream`; null for a kind that this version does not know. */
export function eventOf(message: Message, stream: string, position: string): AnswerEvent | null {
  if (!KINDS.has(message.type)) return null;
  let { data } = message;
  if (message.type === "token" && Array.isArray(data["tokens"])) {
    data = { ...data, token: data["tokens"].join("") }; // a batch
  } else if (message.type === "media" && typeof data["data"] === "string") {
    data = { ...data, data: Uint8Array.from(atob(data["data"]), (byte) => byte.charCodeAt(0)) };
  }
  return { type: message.type, stream, position, data } as unknown as AnswerEvent;
}
