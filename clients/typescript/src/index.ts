export { Answer, type Callbacks } from "./answer.js";
export type { Attachment } from "./attachments.js";
export {
  Fairlead,
  type AskOptions,
  type AttachOptions,
  type ClientOptions,
  type InterruptOptions,
  type ReadOptions,
} from "./client.js";
export type {
  AnswerDocument,
  Attached,
  Budget,
  Conversation,
  ConversationMessage,
  ConversationPage,
  ConversationSummary,
  Info,
  Me,
  Models,
  Passage,
  TakenDocument,
} from "./documents.js";
export { FairleadError, type Problem } from "./errors.js";
export type { AnswerEvent, BudgetLeft, EventData, EventType, Origin, Source } from "./events.js";
export type { Access } from "./http.js";

export type { ConnectionState, Patience } from "./line.js";
export {
  EMPTY,
  failed,
  fold,
  type AnswerState,
  type AnswerStatus,
  type ToolCall,
} from "./state.js";
export type { TransportName } from "./transport.js";
export type { SocketClass, SocketLike } from "./websocket.js";
