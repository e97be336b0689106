import { useCallback, useEffect, useRef, useState } from "react";
import type { Answer } from "../answer.js";
import type { AskOptions, Fairlead } from "../client.js";
import { FairleadError } from "../errors.js";
import type { ConnectionState } from "../line.js";
import type { AnswerState } from "../state.js";
import { awaited, branch, question, updated, type ChatMessage } from "./messages.js";

/** Settings of {@link useConversation}. */
export interface ConversationOptions {
  /** The dialogue to show and go on with. None: a new one. */
  conversationId?: string | undefined;
  /** Is told the id of a new dialogue, with its first answer; keep it to come back after a reload. */
  onConversation?: ((id: string) => void) | undefined;
  /** For every question: model, system, parameters, … */
  ask?: Omit<AskOptions, "signal" | "onConnection" | "conversationId" | "key"> | undefined;
}

/** What {@link useConversation} gives. The functions stay the same from one rendering to the next. */
export interface UseConversation {
  messages: readonly ChatMessage[];
  conversationId: string;
  /** Whether an answer is being written. */
  busy: boolean;
  /** Whether the dialogue is being fetched. */
  loading: boolean;
  /** Why the dialogue could not be fetched, else null. Why an answer failed stands in its message. */
  error: FairleadError | null;
  connection: ConnectionState | null;
  /**
   * Ask. An answer that is being written is interrupted: the next one knows of it what was shown.
   * Gives the answer as it ended; null if nothing was asked, because the text is blank.
   */
  send(text: string): Promise<AnswerState | null>;
  /**
   * Ask instead of the question `message`: what follows it stays in another branch. Null while busy.
   */
  edit(message: ChatMessage, text: string): Promise<AnswerState | null>;
  /** Answer the last question once more. Null while busy. */
  regenerate(): Promise<AnswerState | null>;
  /** Stop the answer that is being written. */
  stop(): void;
}

/**
 * A dialogue. One that is given by its id is fetched first, and an answer that is still being
 * written is read on, so a reload of the page loses nothing.
 */
export function useConversation(
  client: Fairlead,
  { conversationId, onConversation, ask }: ConversationOptions = {},
): UseConversation {
  const [messages, setMessages] = useState<readonly ChatMessage[]>([]);
  const [id, setId] = useState("");
  const [busy, setBusy] = useState(false);
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
    onConversation,
    ask,
  });
  useEffect(() => {
    now.current.onConversation = onConversation;
    now.current.ask = ask;
  });

  const show = useCallback((next: readonly ChatMessage[]) => {
    now.current.messages = next;
    setMessages(next);
  }, []);

  const read = useCallback(
    async (key: string, make: (onConnection: (state: ConnectionState) => void) => Answer) => {
      const own = () => now.current.answers.includes(made);
      const made: Answer = make((state) => {
        if (now.current.answers.at(-1) === made) setConnection(state);
      });
      now.current.answers = [...now.current.answers, made];
      setBusy(true);
      const ended = await made.result((state) => {
        if (!own()) return;
        show(updated(now.current.messages, key, state));
        if (state.conversationId && state.conversationId !== now.current.id) {
          now.current.id = state.conversationId;
          setId(state.conversationId);
          now.current.onConversation?.(state.conversationId);
        }
      });
      if (own()) {
        now.current.answers = now.current.answers.filter((answer) => answer !== made);
        setBusy(now.current.answers.length > 0);
      }
      return ended;
    },
    [show],
  );

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
    setError(null);
    show([]);
    if (!conversationId) return;
    setLoading(true);
    void client
      .conversation(conversationId)
      .then((found) => {
        if (left) return;
        const loaded = branch(found);
        show(loaded);
        const last = loaded.at(-1);
        if (last?.status === "running" && last.stream) {
          void read(last.key, (onConnection) => client.attach(last.stream, { onConnection }));
        }
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
  }, [client, conversationId, read, show]);

  useEffect(() => {
    const state = now.current;
    return () => {
      leave(state);
      state.client = null; // mounted again, it begins anew
    };
  }, []);

  const begin = useCallback(
    async (before: readonly ChatMessage[], text: string, options: AskOptions) => {
      const state = now.current;
      const running = state.answers.at(-1);
      const key = `new-${(state.made += 1)}`;
      const asked = text ? [question(`${key}-question`, text)] : [];
      show([...before, ...asked, awaited(key)]);
      return read(key, (onConnection) =>
        running
          ? running.interrupt(text, { ...state.ask, onConnection })
          : client.ask(text, {
              ...state.ask,
              ...options,
              conversationId: state.id || undefined,
              onConnection,
            }),
      );
    },
    [client, read, show],
  );

  return {
    messages,
    conversationId: id,
    busy,
    loading,
    error,
    connection,
    send: useCallback(
      async (text) => (text.trim() ? begin(now.current.messages, text, {}) : null),
      [begin],
    ),
    edit: useCallback(
      async (message, text) => {
        const at = now.current.messages.findIndex(({ key }) => key === message.key);
        if (at < 0 || !text.trim() || now.current.answers.length) return null;
        const before = now.current.messages.slice(0, at);
        return begin(before, text, { parent: before.at(-1)?.id ?? "" });
      },
      [begin],
    ),
    regenerate: useCallback(async () => {
      const last = now.current.messages.at(-1);
      if (last?.role !== "assistant" || !last.id || now.current.answers.length) return null;
      return begin(now.current.messages.slice(0, -1), "", { regenerate: last.id });
    }, [begin]),
    stop: useCallback(() => {
      // A stop that cannot be delivered shows in the answer, which goes on.
      now.current.answers
        .at(-1)
        ?.stop()
        .catch(() => {});
    }, []),
  };
}

/** End the reading of what is being read. */
function leave(state: { answers: readonly Answer[] }): void {
  for (const answer of state.answers) answer.close();
  state.answers = [];
}
