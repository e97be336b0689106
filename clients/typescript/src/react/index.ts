export { Chat, type ChatProps } from "./Chat.js";
export { ChatInput, type ChatInputProps } from "./ChatInput.js";
export { LABELS, type Labels } from "./labels.js";
export { MessageBubble, type MessageBubbleProps } from "./MessageBubble.js";
export type { ChatMessage } from "./messages.js";
export { ThinkingIndicator, type ThinkingIndicatorProps } from "./ThinkingIndicator.js";
export { useAnswer, type UseAnswer } from "./useAnswer.js";
export {
  useConversation,
  type ConversationOptions,
  type QuestionOptions,
  type UseConversation,
} from "./useConversation.js";
