import type { ChatMessage } from "@fairlead/client/react";
import { words } from "../words/words.js";

/** What is being done while there is nothing to read yet, and how far a long task has come. */
export function Thinking({ message, online }: { message: ChatMessage; online: boolean }) {
  const { thinking, progress, stream, text } = message;
  if (progress) {
    const { fraction } = progress;
    return (
      <div className="progress">
        <span dir="auto">{progress.message}</span>
        <progress
          aria-label={progress.message || words.progress}
          max={1}
          {...(fraction !== null && { value: fraction })}
        />
      </div>
    );
  }
  if (text && !thinking) return null;
  if (!online) return null; // the banner says it
  return (
    <p className="thinking">
      <span className="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {said(message, stream)}
    </p>
  );
}

function said({ thinking }: ChatMessage, stream: string): string {
  if (!thinking) return stream ? words.writing : words.connecting;
  if (thinking.status === "queued") return words.queued(thinking.position);
  return words[thinking.status] ?? thinking.message;
}
