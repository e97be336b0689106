import type { ReactElement, ReactNode } from "react";
import type { Source } from "../events.js";
import { LABELS, type Labels } from "./labels.js";
import type { ChatMessage } from "./messages.js";
import { ThinkingIndicator } from "./ThinkingIndicator.js";

export interface MessageBubbleProps {
  message: ChatMessage;
  /** Makes the text into what is shown, for Markdown for instance. By default it is plain text. */
  renderText?: ((text: string, message: ChatMessage) => ReactNode) | undefined;
  labels?: Labels;
  className?: string;
}

/**
 * A question or an answer, with its sources and its error. Style it by
 * `[data-fairlead="message"]`, with `data-role` and `data-status`.
 */
export function MessageBubble({
  message,
  renderText,
  labels = LABELS,
  className,
}: MessageBubbleProps): ReactElement {
  const { role, status, text, sources, error, thinking, progress } = message;
  const running = status === "running";
  const doing = progress?.message ?? thinking?.message;
  return (
    <article
      data-fairlead="message"
      data-role={role}
      data-status={status}
      className={className}
      aria-label={role === "user" ? labels.you : labels.answer}
      aria-busy={running}
    >
      {text && <div data-fairlead="text">{renderText ? renderText(text, message) : text}</div>}
      {running && (!text || doing) && <ThinkingIndicator message={doing} label={labels.thinking} />}
      {error && (
        <p data-fairlead="error" role="alert">
          {error.message}
        </p>
      )}
      {sources.length > 0 && (
        <ol data-fairlead="sources" aria-label={labels.sources}>
          {sources.map((source) => (
            <li key={source.id}>{named(source)}</li>
          ))}
        </ol>
      )}
    </article>
  );
}

/** A link only where it leads to the web: an address may be a file's name, or worse. */
function named({ title, address }: Source): ReactNode {
  return /^https?:\/\//i.test(address) ? (
    <a href={address}>{title || address}</a>
  ) : (
    title || address
  );
}
