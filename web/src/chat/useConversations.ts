import { FairleadError, type ConversationPage, type ConversationSummary } from "@fairlead/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { keepFiles } from "../lib/attached.js";
import * as away from "../lib/away.js";
import { forget, keepDraft } from "../lib/kept.js";
import { useSession } from "../lib/session.js";

/** Milliseconds between two looks at the list while an answer is being written elsewhere. */
const LOOK = 3_000;
/** Milliseconds after the last key until a search. */
const TYPED = 200;
/** How many are listed at first, and how many more each time that one asks for older ones. */
const PAGE = 40;
const MORE = 100;

export interface Conversations {
  items: readonly ConversationSummary[];
  away: away.Away;
  search: string;
  error: FairleadError | null;
  /** Lists older ones, too; null: there are none. */
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
  const [pages, setPages] = useState(1);
  const [known, setKnown] = useState(away.kept);
  const [error, setError] = useState<FairleadError | null>(null);
  const looking = useRef(0);

  const load = useCallback(async () => {
    const look = (looking.current += 1);
    try {
      const found: ConversationSummary[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < pages; page += 1) {
        const limit = page ? MORE : PAGE;
        const next: ConversationPage = await server.conversations({
          ...{ search, limit },
          ...(cursor && { cursor }),
        });
        if (look !== looking.current) return; // a later look was quicker
        found.push(...next.conversations);
        cursor = next.cursor;
        if (!cursor) break;
      }
      setItems(found);
      setCursor(cursor);
      setError(null);
      setKnown((before) => {
        const seen = document.hidden ? "" : current;
        const look = search ? "some" : cursor ? "newest" : "all";
        const known = away.merged(before, away.kept());
        const next = away.after(known, found, seen, look);
        away.keep(next);
        return next;
      });
    } catch (problem) {
      if (!(problem instanceof FairleadError)) throw problem;
      if (look === looking.current) setError(problem);
    }
  }, [server, search, pages, current]);

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
    setSearch: (search) => {
      setPages(1);
      setSearch(search);
    },
    more: cursor ? () => setPages(pages + 1) : null,
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
