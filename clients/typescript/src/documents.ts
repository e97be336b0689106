import type { EventData, Source } from "./events.js";

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
