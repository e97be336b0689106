import { useState, type FormEvent, type KeyboardEvent, type ReactElement } from "react";
import { LABELS, type Labels } from "./labels.js";

export interface ChatInputProps {
  onSend: (text: string) => void;
  onStop?: (() => void) | undefined;
  /**
   * An answer is being written: while nothing is typed, the button stops it. What is sent then
   * interrupts it.
   */
  busy?: boolean;
  disabled?: boolean;
  placeholder?: string | undefined;
  labels?: Labels;
  className?: string;
}

/** Where a question is written. Enter sends, Shift+Enter begins a new line. */
export function ChatInput({
  onSend,
  onStop,
  busy = false,
  disabled = false,
  placeholder,
  labels = LABELS,
  className,
}: ChatInputProps): ReactElement {
  const [text, setText] = useState("");

  function send() {
    if (disabled || !text.trim()) return;
    setText("");
    onSend(text);
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    send();
  }

  function key(event: KeyboardEvent) {
    // While a word is being composed, in Chinese for instance, Enter only chooses it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  }

  return (
    <form data-fairlead="input" className={className} onSubmit={submit}>
      <textarea
        rows={1}
        value={text}
        disabled={disabled}
        placeholder={placeholder}
        aria-label={labels.input}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={key}
      />
      {busy && onStop && !text.trim() ? (
        <button type="button" onClick={onStop}>
          {labels.stop}
        </button>
      ) : (
        <button type="submit" disabled={disabled || !text.trim()}>
          {labels.send}
        </button>
      )}
    </form>
  );
}
