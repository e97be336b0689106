import type { Conversation } from "../documents.js";
import type { EventData, Source } from "../events.js";
import { FairleadError } from "../errors.js";
import type { AnswerState, AnswerStatus } from "../state.js";

/** A message as it is shown. */
export interface ChatMessage {
  /** The same for as long as the message is shown; for React's `key`. */
  readonly key: string;
  /** The server's id; empty until it has named it, and for questions asked here. */
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly status: AnswerStatus;
  readonly reasoning: string;
  readonly thinking: EventData["thinking"] | null;
  readonly progress: EventData["progress"] | null;
  readonly sources: readonly Source[];
  readonly error: FairleadError | null;
  /** The stream of an answer; empty until it is known. */
  readonly stream: string;
}

const BLANK = {
  id: "",
  text: "",
  reasoning: "",
  thinking: null,
  progress: null,
  sources: [],
  error: null,
  stream: "",
} as const;

/** A question asked here. */
export function question(key: string, text: string): ChatMessage {
  return { ...BLANK, key, role: "user", status: "completed", text };
}

/** An answer that is awaited. */
export function awaited(key: string): ChatMessage {
  return { ...BLANK, key, role: "assistant", status: "running" };
}

/** The messages with the one of this key brought up to the answer's state. Pure. */
export function updated(
  messages: readonly ChatMessage[],
  key: string,
  answer: AnswerState,
): readonly ChatMessage[] {
  const { text, status, reasoning, thinking, progress, sources, error, stream, messageId } = answer;
  return messages.map((message) =>
    message.key === key
      ? {
          ...message,
          ...{ text, status, reasoning, thinking, progress, sources, error },
          stream: stream || message.stream,
          id: messageId || message.id,
        }
      : message,
  );
}

/** The messages of the branch in use, the oldest first. Pure. */
export function branch({ messages, leaf }: Conversation): readonly ChatMessage[] {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  const found: ChatMessage[] = [];
  let next = byId.get(leaf ?? "") ?? messages.at(-1);
  while (next && found.length < messages.length) {
    found.unshift({
      ...BLANK,
      key: next.message_id,
      id: next.message_id,
      role: next.role,
      text: next.text,
      status: next.status,
      sources: next.sources ?? [],
      stream: next.stream ?? "",
    });
    next = byId.get(next.parent ?? "");
  }
  return found;
}
