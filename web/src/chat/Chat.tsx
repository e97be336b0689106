import { FairleadError, type Info, type Me, type Source } from "@fairlead/client";
import { useConversation, type ChatMessage } from "@fairlead/client/react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { keepFiles } from "../lib/attached.js";
import { save } from "../lib/export.js";
import * as kept from "../lib/kept.js";
import { go } from "../lib/route.js";
import { keepsKey, useSession } from "../lib/session.js";
import { IconButton } from "../ui/IconButton.js";
import { WireMenu } from "../wire/WireMenu.js";
import { words } from "../words/words.js";
import { Announcer } from "./Announcer.js";
import { Composer, type ComposerHandle } from "./Composer.js";
import { Documents, useDocuments } from "./Documents.js";
import { DropZone } from "./DropZone.js";
import { Messages } from "./Messages.js";
import { ModelPicker } from "./ModelPicker.js";
import { PassagePanel } from "./PassagePanel.js";
import { Problem } from "./Problem.js";
import { SettingsDialog } from "./SettingsDialog.js";
import { Shortcuts } from "./Shortcuts.js";
import { Sidebar } from "./Sidebar.js";
import { useConversations } from "./useConversations.js";
import { useOnline } from "./useOnline.js";
import { useStop } from "./useStop.js";
import { Welcome } from "./Welcome.js";
import type { Chosen } from "../lib/files.js";

interface Props {
  info: Info;
  me: Me;
  /** The conversation's id; empty: a new one. */
  conversation: string;
  onSignOut: () => void;
  /** The server does not know who is asking any more. */
  onSignedOut: () => void;
}

const wired = (attachments: readonly Chosen[]) =>
  attachments.map(({ type, data, name }) => ({ type, data, name }));

/** The chat: the list of conversations, one of them, and where to ask. */
export function Chat({ info, me, conversation, onSignOut, onSignedOut }: Props) {
  const session = useSession();
  const { client, meters, server } = session;
  const [settings, setSettings] = useState(() => kept.settings(conversation));
  const [source, setSource] = useState<{ source: Source; number: number } | null>(null);
  const [menu, setMenu] = useState(false);
  const [tuning, setTuning] = useState(false);
  const [helping, setHelping] = useState(false);
  const composer = useRef<ComposerHandle>(null);
  const made = useRef("");
  const online = useOnline();
  const documents = useDocuments(info);

  // Closing the page ends no answer, unless the server's operator wants that.
  const background = info.page_background !== false;
  const ask = useMemo(() => ({ background, ...kept.options(settings) }), [background, settings]);
  const chat = useConversation(client, {
    conversationId: conversation || undefined,
    ask,
    onConversation: useCallback((id: string) => {
      made.current = id;
      kept.settle(id);
      kept.keepDraft("", "");
      void keepFiles("", []);
      go(id, { replace: true });
    }, []),
    onConnection: useCallback(
      (key: string, state: Parameters<typeof meters.connection>[1]) =>
        meters.connection(key, state),
      [meters],
    ),
    onEvent: useCallback(
      (key: string, event: Parameters<typeof meters.event>[1]) => {
        meters.event(key, event);
        composer.current?.began(); // what was typed is on the server now
      },
      [meters],
    ),
  });
  const { messages, busy, loading, error, refresh } = chat;
  const stop = useStop(chat, client, online);
  const list = useConversations(conversation, busy);
  const title = list.items.find(({ conversation_id: id }) => id === conversation)?.title ?? "";

  // Elsewhere: another conversation, with its own settings.
  useEffect(() => {
    setSource(null);
    setMenu(false);
    // One that was just made here has those of the new one, and the composer what is being typed.
    if (!conversation || made.current !== conversation) setSettings(kept.settings(conversation));
    made.current = "";
  }, [conversation]);

  // It may have gone on in another tab, or on another device.
  const leaf = list.items.find(({ conversation_id: id }) => id === conversation)?.leaf;
  useEffect(() => {
    const shown = messages.at(-1)?.id;
    if (!busy && !loading && leaf && shown && leaf !== shown) void refresh();
    // Only news of the list is a reason to look: what is shown here changes the list later.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [leaf]);

  useEffect(() => {
    const code = error?.code ?? messages.at(-1)?.error?.code;
    if (code === "unauthenticated" || code === "revoked") onSignedOut();
  }, [error, messages, onSignedOut]);

  useEffect(() => {
    const mark = list.away.finished.length ? "● " : "";
    document.title = `${mark}${title ? `${title} – ` : ""}${words.appName}`;
  }, [title, list.away.finished.length]);

  // As `Shortcuts` tells.
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const command = event.ctrlKey || event.metaKey;
      if (command && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setMenu(true);
        requestAnimationFrame(() => document.getElementById("search")?.focus());
      } else if (command && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        go("");
        composer.current?.focus();
      } else if (event.key === "Escape" && !event.defaultPrevented) {
        if (menu) setMenu(false);
        else if (source) setSource(null);
        else if (busy && !document.querySelector("dialog[open]")) stop.press();
      } else if (command && event.key === "/") {
        event.preventDefault();
        setHelping(true);
      }
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [busy, stop.press, menu, source]);

  const sent = useRef<readonly Chosen[]>([]);
  const send = async (text: string, attachments: readonly Chosen[]) => {
    sent.current = attachments;
    const along = wired(attachments);
    const ended = await chat.send(text, along.length ? { attachments: along } : {});
    if (ended && !ended.stream) composer.current?.putBack(text, attachments);
    else if (along.length) void refresh(); // the attachments have ids now
  };
  const change = (next: kept.Settings) => {
    setSettings(next);
    kept.keepSettings(conversation, next);
  };
  const open = useCallback((source: Source, number: number) => setSource({ source, number }), []);
  const regenerate = useCallback(
    (message: ChatMessage) => {
      if (message.stream) return void chat.regenerate(message);
      // It never got there, and was put back where it was written: it is sent from here instead.
      composer.current?.clear();
      return void chat.regenerate(message, { attachments: wired(sent.current) });
    },
    [chat.regenerate],
  );
  const proceed = useCallback(() => void chat.send(words.continueWords), [chat.send]);
  const edit = useCallback(
    async (message: ChatMessage, text: string) => {
      let attachments;
      try {
        attachments = await Promise.all(
          message.attachments.map(async ({ attachment_id: id, type, name = "" }) => {
            const blob = await server.attachment(chat.conversationId, id);
            return { type, name, data: new Uint8Array(await blob.arrayBuffer()) };
          }),
        );
      } catch (problem) {
        if (!(problem instanceof FairleadError)) throw problem;
        composer.current?.putBack(text, []);
        return;
      }
      const ended = await chat.edit(message, text, attachments.length ? { attachments } : {});
      if (ended && !ended.stream) composer.current?.putBack(text, []);
    },
    [chat.edit, chat.conversationId, server],
  );
  const choose = useCallback(
    (id: string) =>
      void chat.choose(id).catch((problem: unknown) => {
        if (!(problem instanceof FairleadError)) throw problem; // what is shown stays
      }),
    [chat.choose],
  );

  const empty = !loading && !error && messages.length === 0;
  return (
    <div className="app" data-panel={source ? "" : undefined}>
      <Sidebar
        list={list}
        conversation={conversation}
        open={menu}
        onClose={() => setMenu(false)}
        onSignOut={me.by && (me.login || keepsKey()) ? onSignOut : undefined}
        me={me}
      />
      <DropZone
        onFiles={(files) => composer.current?.attach(files)}
        documents={info.documents?.types ?? null}
        onDocuments={documents.add}
      >
        <header className="topbar">
          <IconButton
            icon="menu"
            label={words.openMenu}
            className="menu-button"
            aria-expanded={menu}
            onClick={() => setMenu(true)}
          />
          <ModelPicker model={settings.model} onModel={(model) => change({ ...settings, model })} />
          <IconButton icon="settings" label={words.settings} onClick={() => setTuning(true)} />
          <IconButton
            icon="help"
            label={words.shortcuts}
            className="wide-only"
            onClick={() => setHelping(true)}
          />
          {!empty && (
            <IconButton
              icon="download"
              label={words.exportMarkdown}
              onClick={() => save(title, messages)}
            />
          )}
          <h1 className="sr-only">{title || words.newConversation}</h1>
          <WireMenu info={info} />
        </header>
        {!online && (
          <p className="banner" role="status">
            {words.offline}
          </p>
        )}
        {empty ? (
          <Welcome info={info} onAsk={(text) => void send(text, [])} />
        ) : (
          <Messages
            messages={messages}
            loading={loading}
            busy={busy}
            conversation={chat.conversationId}
            online={online}
            onSource={open}
            onRegenerate={regenerate}
            onContinue={proceed}
            onEdit={edit}
            onChoose={choose}
          >
            {error && <Problem error={error} onRetry={() => void refresh()} />}
          </Messages>
        )}
        {stop.held && (
          <p className="held" role="status">
            {words.stopHeld}
          </p>
        )}
        <Documents items={documents.items} onClose={documents.clear} />
        <Composer
          ref={composer}
          conversation={conversation}
          settled={made}
          limits={info.attachments}
          busy={busy}
          onSend={(text, attachments) => void send(text, attachments)}
          onStop={stop.press}
        />
      </DropZone>
      {source && (
        <PassagePanel
          source={source.source}
          number={source.number}
          onClose={() => setSource(null)}
        />
      )}
      {tuning && (
        <SettingsDialog settings={settings} onSettings={change} onClose={() => setTuning(false)} />
      )}
      {helping && <Shortcuts onClose={() => setHelping(false)} />}
      <Announcer message={messages.at(-1)} />
    </div>
  );
}
