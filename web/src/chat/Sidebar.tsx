import { FairleadError, type ConversationSummary, type Me } from "@fairlead/client";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { byAge } from "../lib/ages.js";
import { go, toConversation } from "../lib/route.js";
import { Icon } from "../ui/icons.js";
import { IconButton } from "../ui/IconButton.js";
import { PageLinks } from "../ui/PageLinks.js";
import { inWords, words } from "../words/words.js";
import type { Conversations } from "./useConversations.js";

interface Props {
  list: Conversations;
  conversation: string;
  /** Whether it is shown where there is no room for it beside the conversation. */
  open: boolean;
  onClose: () => void;
  onSignOut: (() => void) | undefined;
  me: Me;
}

/** The list of conversations. */
export function Sidebar({ list, conversation, open, onClose, onSignOut, me }: Props) {
  const [refused, setRefused] = useState<FairleadError | null>(null);
  const remove = async (id: string) => {
    if (!(await attempt(() => list.remove(id)))) return;
    if (id === conversation) go("", { replace: true });
  };
  const attempt = async (act: () => Promise<void>): Promise<boolean> => {
    try {
      await act();
      setRefused(null);
      return true;
    } catch (problem) {
      if (!(problem instanceof FairleadError)) throw problem;
      setRefused(problem);
      return false;
    }
  };
  // A server without keys lists conversations to its own machine alone: no fault of anybody's.
  const guest = list.error?.code === "forbidden";
  const problem = refused ?? (guest ? null : list.error);
  const consumer = me.by ? (me.consumer ?? "") : "";
  return (
    <>
      <div className="scrim" data-open={open || undefined} onClick={onClose} />
      <nav className="sidebar" data-open={open || undefined} aria-label={words.conversations}>
        <div className="flex items-center gap-2 px-3 pt-3">
          <img src="./icon.svg" alt="" width="26" height="26" />
          <span className="text-[1.05rem] font-semibold tracking-tight">{words.appName}</span>
          <IconButton
            icon="close"
            label={words.close}
            className="menu-button ms-auto"
            onClick={onClose}
          />
        </div>
        <div className="grid gap-2 p-3">
          <a className="button justify-start" href={toConversation("")} onClick={onClose}>
            <Icon name="add" /> {words.newConversation}
          </a>
          <label className="search">
            <Icon name="search" size={16} />
            <span className="sr-only">{words.searchConversations}</span>
            <input
              id="search"
              type="search"
              value={list.search}
              placeholder={words.searchConversations}
              onChange={(event) => list.setSearch(event.target.value)}
            />
          </label>
        </div>
        {problem && (
          <p className="px-4 pb-2 text-sm text-bad" role="alert">
            {inWords(problem).text}
          </p>
        )}
        <div className="conversations">
          {byAge(list.items, new Date()).map(({ age, of }) => (
            <section key={age} aria-labelledby={`age-${age}`}>
              <h2 id={`age-${age}`}>{words.ages[age]}</h2>
              <ul>
                {of.map((one) => (
                  <Row
                    key={one.conversation_id}
                    one={one}
                    current={one.conversation_id === conversation}
                    finished={list.away.finished.includes(one.conversation_id)}
                    onOpen={onClose}
                    onRename={(title) => attempt(() => list.rename(one.conversation_id, title))}
                    onRemove={() => void remove(one.conversation_id)}
                  />
                ))}
              </ul>
            </section>
          ))}
          {list.items.length === 0 && (guest || !list.error) && (
            <p className="px-3 py-2 text-sm text-soft">
              {guest ? words.notListed : list.search ? words.nothingFound : words.noConversations}
            </p>
          )}
          {list.more && (
            <button type="button" className="button w-full justify-center" onClick={list.more}>
              {words.more}
            </button>
          )}
        </div>
        <PageLinks page="chat" me={me} />
        {onSignOut && (
          <footer className="flex items-center gap-2 border-t border-line p-3 text-sm">
            <span className="truncate text-soft" title={consumer}>
              {consumer}
            </span>
            <button type="button" className="button ms-auto" onClick={onSignOut}>
              {words.signOut}
            </button>
          </footer>
        )}
      </nav>
    </>
  );
}

interface RowProps {
  one: ConversationSummary;
  current: boolean;
  finished: boolean;
  onOpen: () => void;
  onRename: (title: string) => Promise<boolean>;
  onRemove: () => void;
}

function Row({ one, current, finished, onOpen, onRename, onRemove }: RowProps) {
  const [state, setState] = useState<"shown" | "renaming" | "removing">("shown");
  const title = one.title || words.untitled;
  if (state === "renaming") {
    return (
      <li>
        <Rename
          title={one.title}
          onRename={async (title) => {
            if (await onRename(title)) setState("shown");
          }}
          onCancel={() => setState("shown")}
        />
      </li>
    );
  }
  const running = one.status === "running";
  return (
    <li className="conversation" data-current={current || undefined}>
      <a
        href={toConversation(one.conversation_id)}
        aria-current={current ? "page" : undefined}
        title={title}
        onClick={onOpen}
      >
        <span className="truncate" dir="auto">
          {title}
        </span>
        {running && (
          <span className="pulse" role="img" aria-label={words.running} title={words.running} />
        )}
        {finished && !running && (
          <span className="mark" role="img" aria-label={words.finished} title={words.finished} />
        )}
      </a>
      {state === "removing" ? (
        <div className="confirm" role="group" aria-label={words.removeOf(title)}>
          <span>{words.removeSure}</span>
          <button type="button" className="button danger" autoFocus onClick={onRemove}>
            {words.remove}
          </button>
          <button type="button" className="button" onClick={() => setState("shown")}>
            {words.cancel}
          </button>
        </div>
      ) : (
        <span className="row-actions">
          <IconButton
            icon="edit"
            size={15}
            label={words.renameOf(title)}
            onClick={() => setState("renaming")}
          />
          <IconButton
            icon="trash"
            size={15}
            label={words.removeOf(title)}
            onClick={() => setState("removing")}
          />
        </span>
      )}
    </li>
  );
}

interface RenameProps {
  title: string;
  onRename: (title: string) => Promise<void>;
  onCancel: () => void;
}

function Rename({ title, onRename, onCancel }: RenameProps) {
  const [text, setText] = useState(title);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current?.select();
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim()) void onRename(text);
  };
  return (
    <form className="flex gap-1 p-1" onSubmit={submit}>
      <input
        ref={input}
        className="field min-w-0 flex-1 py-1!"
        aria-label={words.rename}
        value={text}
        maxLength={200}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          onCancel();
        }}
      />
      <IconButton icon="check" label={words.save} type="submit" />
    </form>
  );
}
