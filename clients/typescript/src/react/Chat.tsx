import type { ReactElement, ReactNode } from "react";
import type { Fairlead } from "../client.js";
import { ChatInput } from "./ChatInput.js";
import { LABELS, type Labels } from "./labels.js";
import { MessageBubble } from "./MessageBubble.js";
import type { ChatMessage } from "./messages.js";
import { useConversation, type ConversationOptions } from "./useConversation.js";

export interface ChatProps extends ConversationOptions {
  client: Fairlead;
  /** Makes an answer's text into what is shown, for Markdown for instance. */
  renderText?: (text: string, message: ChatMessage) => ReactNode;
  placeholder?: string;
  /** Other words, for another language. */
  labels?: Partial<Labels>;
  className?: string;
}

/**
 * A whole dialogue: messages, and where to write the next one. It has no style of its own: every
 * element says what it is in `data-fairlead`.
 */
export function Chat({
  client,
  renderText,
  placeholder,
  labels,
  className,
  ...options
}: ChatProps): ReactElement {
  const { messages, busy, loading, error, send, stop } = useConversation(client, options);
  const words = { ...LABELS, ...labels };
  return (
    <section data-fairlead="chat" className={className} aria-label={words.chat}>
      <div data-fairlead="messages" role="log" aria-busy={busy || loading}>
        {messages.map((message) => (
          <MessageBubble
            key={message.key}
            message={message}
            renderText={renderText}
            labels={words}
          />
        ))}
      </div>
      {error && (
        <p data-fairlead="error" role="alert">
          {error.message}
        </p>
      )}
      <ChatInput
        onSend={(text) => void send(text)}
        onStop={stop}
        busy={busy}
        disabled={loading}
        placeholder={placeholder}
        labels={words}
      />
    </section>
  );
}
