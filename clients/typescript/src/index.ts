export { Answer, type Callbacks } from "./answer.js";
export {
  Fairlead,
  type AnswerDocument,
  type AskOptions,
  type AttachOptions,
  type ClientOptions,
  type Conversation,
  type ConversationMessage,
  type ReadOptions,
} from "./client.js";
export { FairleadError, type Problem } from "./errors.js";
export type { AnswerEvent, EventData, EventType, Origin, Source } from "./events.js";
export type { Access } from "./http.js";
export type { ConnectionState, Patience } from "./line.js";
export { EMPTY, failed, fold, type AnswerState, type AnswerStatus } from "./state.js";
export type { TransportName } from "./transport.js";
