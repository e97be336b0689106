import type { Info } from "@fairlead/client";
import {
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
  type FormEvent,
  type KeyboardEvent,
  type Ref,
  type RefObject,
} from "react";
import { files, keepFiles } from "../lib/attached.js";
import { chosenOf, take, type Chosen } from "../lib/files.js";
import { draft, keepDraft } from "../lib/kept.js";
import { Icon } from "../ui/icons.js";
import { IconButton } from "../ui/IconButton.js";
import { bytes, words } from "../words/words.js";

/** What others do to the composer. */
export interface ComposerHandle {
  focus: () => void;
  attach: (files: readonly File[]) => void;
  /** What was asked is on the server: it need not be kept here any more. */
  began: () => void;
  /** What was put back is sent from elsewhere, unless something else stands there now. */
  clear: () => void;
  /** What was asked never got there. */
  putBack: (text: string, attachments: readonly Chosen[]) => void;
}

interface Props {
  ref: Ref<ComposerHandle>;
  conversation: string;
  /** The conversation that was last made here: going over to it leaves what is being typed. */
  settled: RefObject<string>;
  limits: Info["attachments"];
  busy: boolean;
  onSend: (text: string, attachments: readonly Chosen[]) => void;
  onStop: () => void;
}

/** Where a question is written. What is typed survives a reload. */
export function Composer({ ref, conversation, settled, limits, busy, onSend, onStop }: Props) {
  const [text, setText] = useState(() => draft(conversation));
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const [refused, setRefused] = useState<readonly string[]>([]);
  const area = useRef<HTMLTextAreaElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const now = useRef({ text, chosen, conversation, sent: false, back: "" });
  now.current.text = text;
  now.current.chosen = chosen;

  const restore = useCallback(async (conversation: string) => {
    const found = await files(conversation);
    const { conversation: there, chosen, sent } = now.current;
    // Meanwhile somebody may have gone on, or chosen others.
    if (!found.length || there !== conversation || chosen.length || sent) return;
    setChosen(found.map(chosenOf));
  }, []);
  useEffect(() => {
    void restore(now.current.conversation);
  }, [restore]);

  useEffect(() => {
    const { conversation: before, text, chosen } = now.current;
    now.current.conversation = conversation;
    if (before === conversation) return;
    if (settled.current === conversation) {
      // What was begun meanwhile goes along.
      keepDraft(conversation, text);
      void keepFiles(conversation, chosen);
      return;
    }
    now.current.chosen = [];
    setText(draft(conversation));
    setChosen([]);
    setRefused([]);
    void restore(conversation);
    area.current?.focus();
  }, [conversation, settled, restore]);

  // As high as what is in it, up to a bound that the style sheet sets.
  useLayoutEffect(() => {
    const element = area.current!;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);

  const choose = (next: readonly Chosen[]) => {
    setChosen(next);
    now.current.sent = false;
    void keepFiles(conversation, next);
  };
  const attach = async (files: readonly File[]) => {
    const { chosen, refused } = await take(files, now.current.chosen, limits);
    choose(chosen);
    setRefused(refused);
    area.current?.focus();
  };
  useImperativeHandle(ref, () => ({
    focus: () => area.current?.focus(),
    attach: (files) => void attach(files),
    began: () => {
      if (!now.current.sent) return;
      now.current.sent = false;
      keepDraft(now.current.conversation, now.current.text);
      void keepFiles(now.current.conversation, now.current.chosen);
    },
    clear: () => {
      if (now.current.text !== now.current.back) return; // that is something new
      now.current.sent = true; // and kept until the server has it
      setText("");
      setChosen([]);
    },
    putBack: (before, attachments) => {
      now.current.sent = false;
      if (!now.current.text) {
        now.current.back = before;
        setText(before);
        setChosen(attachments);
      }
    },
  }));

  const write = (next: string) => {
    setText(next);
    now.current.sent = false;
    keepDraft(conversation, next);
  };
  const send = () => {
    if (!text.trim()) return;
    // Kept until the server has it.
    now.current.sent = true;
    onSend(text, chosen);
    setText("");
    setChosen([]);
    setRefused([]);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };
  const key = (event: KeyboardEvent) => {
    // While a word is being composed, in Chinese for instance, Enter only chooses it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };

  const stops = busy && !text.trim();
  return (
    <form className="composer" onSubmit={submit}>
      {refused.length > 0 && (
        <ul role="alert" className="refused">
          {refused.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      {chosen.length > 0 && (
        <ul className="chosen">
          {chosen.map(({ id, name, preview, data }) => (
            <li key={id} className="file">
              {preview ? <img src={preview} alt="" /> : <Icon name="text" />}
              <span className="truncate">{name}</span>
              <span className="text-soft">{bytes(data.length)}</span>
              <IconButton
                icon="close"
                size={14}
                label={words.detach(name)}
                onClick={() => choose(chosen.filter((one) => one.id !== id))}
              />
            </li>
          ))}
        </ul>
      )}
      <div className="composer-row">
        {limits.number > 0 && (
          <>
            <IconButton icon="attach" label={words.attach} onClick={() => input.current?.click()} />
            <input
              ref={input}
              type="file"
              multiple
              hidden
              aria-label={words.attach}
              onChange={(event) => {
                void attach([...(event.target.files ?? [])]);
                event.target.value = "";
              }}
            />
          </>
        )}
        <textarea
          ref={area}
          id="question"
          rows={1}
          dir="auto"
          value={text}
          placeholder={words.placeholder}
          aria-label={words.question}
          aria-describedby="keys"
          autoFocus={matchMedia("(pointer: fine)").matches}
          onChange={(event) => write(event.target.value)}
          onKeyDown={key}
          onPaste={(event) => {
            const files = [...event.clipboardData.files];
            if (!files.length) return;
            event.preventDefault();
            void attach(files);
          }}
        />
        {stops ? (
          <button
            type="button"
            className="send stop"
            aria-label={words.stop}
            title={words.stop}
            onClick={onStop}
          >
            <span aria-hidden="true" />
          </button>
        ) : (
          <button
            type="submit"
            className="send"
            aria-label={busy ? words.interrupt : words.send}
            title={busy ? words.interrupt : words.send}
            disabled={!text.trim()}
          >
            <Icon name="send" size={20} />
          </button>
        )}
      </div>
      <p id="keys" className="keys">
        {busy && text.trim() ? words.interrupt : words.keys}
      </p>
    </form>
  );
}
