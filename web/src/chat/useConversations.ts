import { FairleadError, type ConversationSummary } from "@fairlead/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { keepFiles } from "../lib/attached.js";
import * as away from "../lib/away.js";
import { forget, keepDraft } from "../lib/kept.js";
import { useSession } from "../lib/session.js";

/** Milliseconds between two looks at the list while an answer is being written elsewhere. */
const LOOK = 3_000;
/** Milliseconds after the last key until a search. */
const TYPED = 200;
const PAGE = 40;

export interface Conversations {
  items: readonly ConversationSummary[];
  away: away.Away;
  search: string;
  error: FairleadError | null;
  /** Gets the next page; null: there is none. */
  more: (() => void) | null;
  setSearch: (search: string) => void;
  rename: (id: string, title: string) => Promise<void>;
  remove: (id: string) => Promise<void>;
}

/** The list of conversations, kept up to date: with what happens here, and what happens elsewhere. */
export function useConversations(current: string, busy: boolean): Conversations {
  const { server } = useSession();
  const [items, setItems] = useState<readonly ConversationSummary[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [search, setSearch] = useState("");
  const [known, setKnown] = useState(away.kept);
  const [error, setError] = useState<FairleadError | null>(null);
  const looking = useRef(0);

  const load = useCallback(async () => {
    const look = (looking.current += 1);
    try {
      const page = await server.conversations({ search, limit: PAGE });
      if (look !== looking.current) return; // a later look was quicker
      setItems(page.conversations);
      setCursor(page.cursor);
      setError(null);
      setKnown((before) => {
        const seen = document.hidden ? "" : current;
        const look = search ? "some" : page.cursor ? "newest" : "all";
        const known = away.merged(before, away.kept());
        const next = away.after(known, page.conversations, seen, look);
        away.keep(next);
        return next;
      });
    } catch (problem) {
      if (!(problem instanceof FairleadError)) throw problem;
      if (look === looking.current) setError(problem);
    }
  }, [server, search, current]);

  useEffect(() => {
    const timer = setTimeout(() => void load(), search ? TYPED : 0);
    return () => clearTimeout(timer);
  }, [load, search, busy]);

  useEffect(() => {
    const look = () => {
      if (!document.hidden) void load();
    };
    document.addEventListener("visibilitychange", look);
    addEventListener("focus", look);
    addEventListener("online", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      removeEventListener("focus", look);
      removeEventListener("online", look);
    };
  }, [load]);

  const waits = known.running.length > 0;
  useEffect(() => {
    if (!waits) return;
    const timer = setInterval(() => void load(), LOOK);
    return () => clearInterval(timer);
  }, [waits, load]);

  return {
    items,
    away: known,
    search,
    error,
    setSearch,
    more: cursor
      ? () =>
          void server
            .conversations({ search, cursor, limit: PAGE })
            .then((page) => {
              setItems((before) => [...before, ...page.conversations]);
              setCursor(page.cursor);
            })
            .catch((problem: unknown) => {
              if (!(problem instanceof FairleadError)) throw problem;
              setError(problem);
            })
      : null,
    rename: async (id, title) => {
      await server.rename(id, title);
      await load();
    },
    remove: async (id) => {
      await server.remove(id);
      keepDraft(id, "");
      forget(id);
      void keepFiles(id, []);
      const next = away.without(away.kept(), id);
      away.keep(next);
      setKnown(next);
      await load();
    },
  };
}
