import { FairleadError } from "@fairlead/client";
import { useCallback, useEffect, useRef, useState } from "react";

/** Milliseconds; a server that cannot be reached is not asked more rarely than this. */
const LONGEST = 30_000;

export interface Looked<T> {
  /** What was seen last; null: nothing yet. */
  seen: T | null;
  /** Why the last look failed; null: it did not. */
  error: FairleadError | null;
  /** Look at once. */
  again: () => void;
}

/**
 * Looks again and again, `every` so many milliseconds after the last look (0: only when asked), and
 * at once when `look` is another function. Nobody looks while the tab is hidden.
 */
export function useLook<T>(
  look: (signal: AbortSignal) => Promise<T>,
  every: number,
  paused = false,
): Looked<T> {
  const [seen, setSeen] = useState<T | null>(null);
  const [error, setError] = useState<FairleadError | null>(null);
  const now = useRef(() => {});

  useEffect(() => {
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let looking = false;
    let wanted = false;
    let failures = 0;
    const run = async () => {
      clearTimeout(timer);
      if (looking) {
        wanted = true;
        return;
      }
      looking = true;
      wanted = false;
      try {
        const found = await look(leaving.signal);
        if (leaving.signal.aborted) return;
        failures = 0;
        setSeen(found);
        setError(null);
      } catch (problem) {
        if (leaving.signal.aborted) return;
        if (!(problem instanceof FairleadError)) throw problem;
        failures += 1;
        setError(problem);
      } finally {
        looking = false;
      }
      if (wanted) void run();
      else if (every && !paused && !document.hidden) {
        timer = setTimeout(() => void run(), Math.min(every * 2 ** failures, LONGEST));
      }
    };
    const turned = () => {
      if (document.hidden) clearTimeout(timer);
      else if (every && !paused) void run();
    };
    now.current = () => void run();
    void run();
    document.addEventListener("visibilitychange", turned);
    addEventListener("online", turned);
    return () => {
      leaving.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", turned);
      removeEventListener("online", turned);
    };
  }, [look, every, paused]);

  return { seen, error, again: useCallback(() => now.current(), []) };
}
