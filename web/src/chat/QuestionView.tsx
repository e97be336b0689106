import type { ChatMessage } from "@fairlead/client/react";
import { memo, useEffect, useRef, useState, type FormEvent } from "react";
import { CopyButton } from "../ui/CopyButton.js";
import { Icon } from "../ui/icons.js";
import { IconButton } from "../ui/IconButton.js";
import { bytes, words } from "../words/words.js";
import { Branches } from "./Branches.js";
import { Picture } from "./Picture.js";

interface Props {
  message: ChatMessage;
  conversation: string;
  busy: boolean;
  onEdit: (message: ChatMessage, text: string) => unknown;
  onChoose: (id: string) => void;
}

/** A question, with what came along with it. */
export const QuestionView = memo(function QuestionView(props: Props) {
  const { message, conversation, busy, onEdit, onChoose } = props;
  const [editing, setEditing] = useState(false);
  return (
    <article className="question" aria-label={words.you}>
      {message.attachments.length > 0 && (
        <ul className="attached">
          {message.attachments.map(({ attachment_id: id, type, name, size }, at) => (
            <li key={id || at}>
              {type.startsWith("image/") && id ? (
                <Picture conversation={conversation} attachment={id} name={name ?? ""} />
              ) : (
                <span className="file">
                  <Icon name="text" />
                  <span className="truncate">{name ?? type}</span>
                  <span className="text-soft">{bytes(size)}</span>
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      {editing ? (
        <Editor
          text={message.text}
          onAsk={(text) => {
            setEditing(false);
            void onEdit(message, text);
          }}
          onCancel={() => setEditing(false)}
        />
      ) : (
        <div className="bubble" dir="auto">
          {message.text}
        </div>
      )}
      {!editing && (
        <footer className="actions">
          <Branches
            id={message.id}
            siblings={message.siblings}
            disabled={busy}
            onChoose={onChoose}
          />
          <CopyButton text={message.text} label={words.copy} />
          <IconButton
            icon="edit"
            size={16}
            label={words.edit}
            disabled={busy}
            onClick={() => setEditing(true)}
          />
        </footer>
      )}
    </article>
  );
});

interface EditorProps {
  text: string;
  onAsk: (text: string) => void;
  onCancel: () => void;
}

function Editor({ text: before, onAsk, onCancel }: EditorProps) {
  const [text, setText] = useState(before);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(before.length, before.length);
  }, [before]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim()) onAsk(text);
  };
  return (
    <form className="editor" onSubmit={submit}>
      <textarea
        ref={area}
        value={text}
        aria-label={words.editQuestion}
        dir="auto"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.preventDefault();
            onCancel();
          } else if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            submit(event);
          }
        }}
      />
      <div className="flex justify-end gap-2">
        <button type="button" className="button" onClick={onCancel}>
          {words.cancel}
        </button>
        <button type="submit" className="button primary" disabled={!text.trim()}>
          {words.ask}
        </button>
      </div>
    </form>
  );
}
