import type { Attached, Conversation, ConversationMessage } from "../documents.js";
import type { EventData, Source } from "../events.js";
import { FairleadError } from "../errors.js";
import { EMPTY, type AnswerState, type AnswerStatus, type ToolCall } from "../state.js";

/** A message as it is shown. */
export interface ChatMessage {
  /** The same for as long as the message is shown; for React's `key`. */
  readonly key: string;
  /** The server's id; empty until it has named it. */
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly status: AnswerStatus;
  readonly reasoning: string;
  readonly thinking: EventData["thinking"] | null;
  readonly progress: EventData["progress"] | null;
  readonly sources: readonly Source[];
  readonly media: readonly EventData["media"][];
  readonly tools: readonly ToolCall[];
  readonly usage: EventData["usage"] | null;
  readonly error: FairleadError | null;
  /** The stream of an answer; empty until it is known. */
  readonly stream: string;
  readonly model: string;
  readonly provider: string;
  /** What came with a question; one that is just being asked has no ids for them yet. */
  readonly attachments: readonly Attached[];
  /** The ids of the messages that stand in this one's place in one branch each, it among them. */
  readonly siblings: readonly string[];
  /** Seconds since 1970; 0: not known yet. */
  readonly created: number;
}

const { text, reasoning, thinking, progress, sources, media, tools, usage, error } = EMPTY;
const BLANK = {
  ...{ text, reasoning, thinking, progress, sources, media, tools, usage, error },
  id: "",
  stream: "",
  model: "",
  provider: "",
  attachments: [],
  siblings: [],
  created: 0,
} as const;

/** A question asked here. */
export function question(
  key: string,
  text: string,
  attachments: readonly Attached[] = [],
): ChatMessage {
  return { ...BLANK, key, role: "user", status: "completed", text, attachments };
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
  const { text, status, reasoning, thinking, progress, sources, media, tools, usage } = answer;
  const { error, stream, messageId, model, provider } = answer;
  return messages.map((message) =>
    message.key === key
      ? {
          ...message,
          ...{ text, status, reasoning, thinking, progress, sources, media, tools, usage, error },
          ...{ model, provider },
          stream: stream || message.stream,
          id: messageId || message.id,
        }
      : message,
  );
}

/** The messages of the branch in use, the oldest first. Pure. */
export function branch({ messages, leaf }: Conversation): readonly ChatMessage[] {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  const siblings = children(messages);
  const found: ChatMessage[] = [];
  let next = byId.get(leaf ?? "") ?? messages.at(-1);
  while (next && found.length < messages.length) {
    found.push({
      ...BLANK,
      key: next.message_id,
      id: next.message_id,
      role: next.role,
      text: next.text,
      status: next.status,
      sources: next.sources ?? [],
      stream: next.stream ?? "",
      attachments: next.attachments ?? [],
      siblings: siblings.get(next.parent ?? "") ?? [],
      created: next.created,
    });
    next = byId.get(next.parent ?? "");
  }
  return found.reverse();
}

/** The newest message that follows `id`, or follows one that does. Pure. */
export function newestAfter({ messages }: Conversation, id: string): string {
  const following = children(messages);
  let leaf = id;
  for (let next = following.get(leaf)?.at(-1); next; next = following.get(leaf)?.at(-1))
    leaf = next;
  return leaf;
}

/**
 * What is shown, with what the server knows of it besides: ids and siblings. What was read here
 * stays. Null: the server has another branch in use, or knows less. Pure.
 */
export function known(
  shown: readonly ChatMessage[],
  conversation: Conversation,
): readonly ChatMessage[] | null {
  const there = branch(conversation);
  if (there.length !== shown.length) return null;
  const same = shown.every(
    ({ id, role }, at) => role === there[at]!.role && (!id || id === there[at]!.id),
  );
  if (!same) return null;
  return shown.map((message, at) => {
    const { id, siblings, attachments, created } = there[at]!;
    return { ...message, id, siblings, attachments, created };
  });
}

/** The ids of the messages that follow each, the oldest first. */
function children(messages: readonly ConversationMessage[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { message_id, parent } of messages) {
    const after = found.get(parent ?? "");
    if (after) after.push(message_id);
    else found.set(parent ?? "", [message_id]);
  }
  return found;
}
