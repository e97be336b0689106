import { FairleadError } from "./errors.js";
import type { AnswerEvent, EventData, Source } from "./events.js";

/** How an answer stands. `interrupted`: the server ended in the middle of it; ask again. */
export type AnswerStatus = "running" | "completed" | "stopped" | "failed" | "interrupted";

/** An answer so far: what its events add up to. A frozen value; {@link fold} makes the next one. */
export interface AnswerState {
  readonly status: AnswerStatus;
  /** The text of the answer. */
  readonly text: string;
  /** The model's reasoning, where it shows any. */
  readonly reasoning: string;
  /** What is being done before the text begins, else null. */
  readonly thinking: EventData["thinking"] | null;
  /** How far a long task has come, else null. */
  readonly progress: EventData["progress"] | null;
  readonly sources: readonly Source[];
  /** Pieces of binary output, in their order. */
  readonly media: readonly EventData["media"][];
  /** What the model calls. */
  readonly tools: readonly ToolCall[];
  readonly usage: EventData["usage"] | null;
  /** Why it failed, else null. What was written before stays in `text`. */
  readonly error: FairleadError | null;
  readonly stream: string;
  readonly position: string;
  readonly conversationId: string;
  readonly messageId: string;
  readonly model: string;
  readonly provider: string;
  /** In one line who answers, when that is worth saying. */
  readonly notice: string;
}

/** A call of a tool as far as it was written. */
export interface ToolCall {
  readonly part: number;
  readonly name: string;
  readonly arguments: string;
}

/** An answer of which nothing has come yet. */
export const EMPTY: AnswerState = Object.freeze({
  status: "running",
  text: "",
  reasoning: "",
  thinking: null,
  progress: null,
  sources: [],
  media: [],
  tools: [],
  usage: null,
  error: null,
  stream: "",
  position: "",
  conversationId: "",
  messageId: "",
  model: "",
  provider: "",
  notice: "",
});

/** The answer after one more event. Pure. */
export function fold(state: AnswerState, event: AnswerEvent): AnswerState {
  const { stream, position, data } = event;
  return Object.freeze({
    ...state,
    stream,
    position,
    conversationId: data.conversation_id ?? state.conversationId,
    messageId: data.message_id ?? state.messageId,
    model: data.model ?? state.model,
    provider: data.provider ?? state.provider,
    notice: data.notice ?? state.notice,
    ...change(state, event),
  });
}

/** The answer when it cannot be read any further. Pure. */
export function failed(state: AnswerState, error: FairleadError): AnswerState {
  const status = error.code === "interrupted" ? "interrupted" : "failed";
  return Object.freeze({ ...state, status, error, thinking: null, progress: null });
}

function change(state: AnswerState, event: AnswerEvent): Partial<AnswerState> {
  switch (event.type) {
    case "thinking":
      return { thinking: event.data };
    case "sources":
      return { sources: event.data.sources };
    case "token": // other parts are further choices, which are not the answer's text
      return event.data.part ? {} : { text: state.text + event.data.token, thinking: null };
    case "reasoning":
      return { reasoning: state.reasoning + event.data.reasoning };
    case "progress":
      return { progress: event.data };
    case "media":
      return { media: [...state.media, event.data] };
    case "part": {
      const { state: step, type, part, name = "" } = event.data;
      if (step !== "open" || type !== "tool_call") return {};
      return { tools: [...state.tools, { part, name, arguments: "" }] };
    }
    case "tool": {
      const { part, arguments: piece } = event.data;
      const add = (tool: ToolCall) =>
        tool.part === part ? { ...tool, arguments: tool.arguments + piece } : tool;
      return { tools: state.tools.map(add) };
    }
    case "usage":
      return { usage: event.data };
    case "reset":
      return { text: event.data.text };
    case "done":
      return { status: event.data.status, thinking: null, progress: null };
    case "error":
      return failed(state, new FairleadError(event.data));
    default:
      return {};
  }
}
