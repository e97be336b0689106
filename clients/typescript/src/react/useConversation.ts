import { useCallback, useEffect, useRef, useState } from "react";
import type { Answer } from "../answer.js";
import type { AskOptions, Fairlead } from "../client.js";
import type { AnswerEvent } from "../events.js";
import type { Conversation } from "../documents.js";
import { FairleadError } from "../errors.js";
import type { ConnectionState } from "../line.js";
import type { AnswerState } from "../state.js";
import {
  awaited,
  branch,
  known,
  newestAfter,
  question,
  updated,
  type ChatMessage,
} from "./messages.js";

/** Milliseconds between two renderings while text comes: more of them nobody could see. */
const PACE = 30;

/** Events that come one after the other, and of which the next one tells as much. */
const FLOWING: ReadonlySet<string> = new Set(["token", "reasoning", "tool"]);

/** Settings of {@link useConversation}. */
export interface ConversationOptions {
  /** The dialogue to show and go on with. None: a new one. */
  conversationId?: string | undefined;
  /** Is told the id of a new dialogue, with its first answer; keep it to come back after a reload. */
  onConversation?: ((id: string) => void) | undefined;
  /** Is told of each event of an answer, with its message's key. */
  onEvent?: ((key: string, event: AnswerEvent) => void) | undefined;
  /** Is told how the connection of an answer stands, with its message's key. */
  onConnection?: ((key: string, state: ConnectionState) => void) | undefined;
  /** For every question: model, system, parameters, … */
  ask?: Omit<AskOptions, "signal" | "onConnection" | "conversationId" | "key"> | undefined;
}

/** For one question. */
export type QuestionOptions = Pick<AskOptions, "attachments" | "model" | "system" | "parameters">;

/** What {@link useConversation} gives. The functions stay the same from one rendering to the next. */
export interface UseConversation {
  messages: readonly ChatMessage[];
  conversationId: string;
  /** Whether an answer is being written. */
  busy: boolean;
  /** Whether it was told to stop and has not ended yet; longer than a moment, the line is broken. */
  stopping: boolean;
  /** Whether the dialogue is being fetched. */
  loading: boolean;
  /** Why the dialogue could not be fetched, else null. Why an answer failed stands in its message. */
  error: FairleadError | null;
  connection: ConnectionState | null;
  /**
   * Ask. An answer that is being written is interrupted: the next one knows of it what was shown.
   * Gives the answer as it ended; null if nothing was asked, because the text is blank.
   */
  send(text: string, options?: QuestionOptions): Promise<AnswerState | null>;
  /**
   * Ask instead of the question `message`: what follows it stays in another branch. Null while busy.
   */
  edit(message: ChatMessage, text: string, options?: QuestionOptions): Promise<AnswerState | null>;
  /**
   * Answer a question once more: that of the answer `message`, or the last one. Null while busy.
   * One that never reached the server is asked anew, with the `options` for that.
   */
  regenerate(message?: ChatMessage, options?: QuestionOptions): Promise<AnswerState | null>;
  /** Take the branch into use that the message of this id is in; see `siblings`. */
  choose(id: string): Promise<void>;
  /** See whether the dialogue went on elsewhere, and show it as it stands. */
  refresh(): Promise<void>;
  /** Stop the answer that is being written: at once, or as soon as the server can be reached. */
  stop(): void;
}

/**
 * A dialogue. One that is given by its id is fetched first, and an answer that is still being
 * written is read on, so a reload of the page loses nothing.
 */
export function useConversation(
  client: Fairlead,
  { conversationId, onConversation, onEvent, onConnection, ask }: ConversationOptions = {},
): UseConversation {
  const [messages, setMessages] = useState<readonly ChatMessage[]>([]);
  const [id, setId] = useState("");
  const [busy, setBusy] = useState(false);
  const [stopping, setStopping] = useState(false);
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState<FairleadError | null>(null);
  const [connection, setConnection] = useState<ConnectionState | null>(null);

  // What is true now, for functions that outlive the rendering that made them. `messages` is set
  // here first and only then given to React: an update always builds on the newest one.
  const now = useRef({
    messages: [] as readonly ChatMessage[],
    id: "",
    /** The answers that are being read, the newest last: one that was interrupted is still ending. */
    answers: [] as readonly Answer[],
    client: null as Fairlead | null,
    made: 0,
    /** Shows what has come since the last rendering. */
    showing: undefined as ReturnType<typeof setTimeout> | undefined,
    onConversation,
    onEvent,
    onConnection,
    ask,
  });
  useEffect(() => {
    now.current.onConversation = onConversation;
    now.current.onEvent = onEvent;
    now.current.onConnection = onConnection;
    now.current.ask = ask;
  });

  const show = useCallback((next: readonly ChatMessage[], flowing = false) => {
    const state = now.current;
    state.messages = next;
    const render = () => {
      clearTimeout(state.showing);
      state.showing = undefined;
      setMessages(state.messages);
    };
    if (flowing) state.showing ??= setTimeout(render, PACE);
    else render();
  }, []);

  const read = useCallback(
    async (key: string, make: (onConnection: (state: ConnectionState) => void) => Answer) => {
      const own = () => now.current.answers.includes(made);
      const made: Answer = make((state) => {
        if (!own()) return;
        now.current.onConnection?.(key, state);
        if (now.current.answers.at(-1) === made) setConnection(state);
      });
      now.current.answers = [...now.current.answers, made];
      setBusy(true);
      const ended = await made.result((state, event) => {
        if (!own()) return;
        if (event) now.current.onEvent?.(key, event);
        show(updated(now.current.messages, key, state), FLOWING.has(event?.type ?? ""));
        if (state.conversationId && state.conversationId !== now.current.id) {
          now.current.id = state.conversationId;
          setId(state.conversationId);
          now.current.onConversation?.(state.conversationId);
        }
      });
      if (own()) {
        now.current.answers = now.current.answers.filter((answer) => answer !== made);
        setBusy(now.current.answers.length > 0);
        if (!now.current.answers.length) setStopping(false);
      }
      return ended;
    },
    [show],
  );

  /** Show a dialogue as the server has it, and read on what is being written. */
  const open = useCallback(
    (found: Conversation) => {
      const loaded = branch(found);
      show(loaded);
      const last = loaded.at(-1);
      if (last?.status === "running" && last.stream) {
        void read(last.key, (onConnection) => client.attach(last.stream, { onConnection }));
      }
    },
    [client, read, show],
  );

  /** What the server knows of the dialogue besides what was read here. */
  const reconcile = useCallback(async () => {
    const state = now.current;
    const { id } = state;
    if (!id || state.answers.length) return;
    let found: Conversation;
    try {
      found = await client.conversation(id);
    } catch (problem) {
      if (problem instanceof FairleadError) return; // what is shown stays
      throw problem;
    }
    if (state.id !== id || state.client !== client || state.answers.length) return;
    const better = known(state.messages, found);
    if (better) show(better);
    else open(found);
  }, [client, open, show]);

  useEffect(() => {
    const state = now.current;
    // The id that a first answer brought comes back as a property: all of it is here already.
    if (state.client === client && (conversationId ?? "") === state.id) return;
    let left = false;
    leave(state);
    state.client = client;
    state.id = conversationId ?? "";
    setId(state.id);
    setBusy(false);
    setStopping(false);
    setError(null);
    show([]);
    if (!conversationId) return;
    setLoading(true);
    void client
      .conversation(conversationId)
      .then((found) => {
        if (left) return;
        open(found);
      })
      .catch((problem: unknown) => {
        if (left) return;
        if (!(problem instanceof FairleadError)) throw problem;
        if (problem.code !== "not_found") setError(problem); // an unknown one is made by asking
      })
      .finally(() => {
        if (!left) setLoading(false);
      });
    return () => {
      left = true;
    };
  }, [client, conversationId, open, show]);

  useEffect(() => {
    const state = now.current;
    return () => {
      leave(state);
      clearTimeout(state.showing);
      state.showing = undefined;
      state.client = null; // mounted again, it begins anew
    };
  }, []);

  const begin = useCallback(
    async (before: readonly ChatMessage[], text: string, options: AskOptions) => {
      const state = now.current;
      const running = state.answers.at(-1);
      const key = `new-${(state.made += 1)}`;
      const attached = (options.attachments ?? []).map(({ type, name, data }) => ({
        ...{ attachment_id: "", type, size: data.length },
        ...(name && { name }),
      }));
      const asked = text ? [question(`${key}-question`, text, attached)] : [];
      show([...before, ...asked, awaited(key)]);
      const ended = await read(key, (onConnection) =>
        running
          ? running.interrupt(text, { ...state.ask, ...options, onConnection })
          : client.ask(text, {
              ...state.ask,
              ...options,
              conversationId: state.id || undefined,
              onConnection,
            }),
      );
      if (options.parent !== undefined || options.regenerate) void reconcile(); // a branch was made
      return ended;
    },
    [client, read, reconcile, show],
  );

  return {
    messages,
    conversationId: id,
    busy,
    stopping,
    loading,
    error,
    connection,
    send: useCallback(
      async (text, options = {}) =>
        text.trim() ? begin(now.current.messages, text, options) : null,
      [begin],
    ),
    edit: useCallback(
      async (message, text, options = {}) => {
        const at = now.current.messages.findIndex(({ key }) => key === message.key);
        if (at < 0 || !text.trim() || now.current.answers.length) return null;
        const before = now.current.messages.slice(0, at);
        return begin(before, text, { ...options, parent: before.at(-1)?.id ?? "" });
      },
      [begin],
    ),
    regenerate: useCallback(
      async (message, options = {}) => {
        const { messages, answers } = now.current;
        const last = message ?? messages.at(-1);
        const at = messages.findIndex(({ key }) => key === last?.key);
        if (last?.role !== "assistant" || answers.length || at < 0) return null;
        if (last.id) return begin(messages.slice(0, at), "", { regenerate: last.id });
        // It never began: its question is asked anew.
        const asked = messages[at - 1];
        if (asked?.role !== "user") return null;
        const before = messages.slice(0, at - 1);
        const parent = before.length ? { parent: before.at(-1)!.id } : {};
        return begin(before, asked.text, { ...options, ...parent });
      },
      [begin],
    ),
    choose: useCallback(
      async (id) => {
        const state = now.current;
        if (!state.id || state.answers.length) return;
        const found = await client.conversation(state.id);
        const leaf = newestAfter(found, id);
        await client.select(state.id, leaf);
        if (state.id === found.conversation_id && !state.answers.length) open({ ...found, leaf });
      },
      [client, open],
    ),
    refresh: reconcile,
    stop: useCallback(() => {
      const answer = now.current.answers.at(-1);
      if (!answer) return;
      setStopping(true);
      // One that is refused, or cannot be delivered, shows in the answer, which goes on.
      answer.stop().catch(() => setStopping(false));
    }, []),
  };
}

/** End the reading of what is being read. */
function leave(state: { answers: readonly Answer[] }): void {
  for (const answer of state.answers) answer.close();
  state.answers = [];
}
