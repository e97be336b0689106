import type { ConversationSummary } from "@fairlead/client";

/** Which conversations have an answer that nobody has looked at, as this browser knows it. */
export interface Away {
  /** Conversations whose answer was being written when last seen. */
  readonly running: readonly string[];
  /** Those whose answer has ended since, unseen. */
  readonly finished: readonly string[];
}

export const NONE: Away = { running: [], finished: [] };
const KEY = "fairlead.away";

/** What a look at the list showed: what was searched for, the most recently used, or all. */
export type Look = "some" | "newest" | "all";

/**
 * What is known after a look at the list. `seen`: the conversation that is looked at. One that is
 * gone from where it would be is forgotten. Pure.
 */
export function after(
  away: Away,
  listed: readonly ConversationSummary[],
  seen: string,
  look: Look = "some",
): Away {
  const ids = new Set(listed.map(({ conversation_id: id }) => id));
  const here = (id: string) => ids.has(id);
  // What is being written was asked for not long ago.
  const running = new Set(look === "some" ? away.running : away.running.filter(here));
  const finished = new Set(look === "all" ? away.finished.filter(here) : away.finished);
  for (const { conversation_id: id, status } of listed) {
    if (status === "running") {
      running.add(id);
      finished.delete(id);
    } else if (running.delete(id)) finished.add(id);
  }
  finished.delete(seen);
  return { running: [...running], finished: [...finished] };
}

/** What is known without a conversation that was removed. Pure. */
export function without({ running, finished }: Away, id: string): Away {
  const other = (one: string) => one !== id;
  return { running: running.filter(other), finished: finished.filter(other) };
}

/** What this tab knows and what another one has kept since, together. Pure. */
export function merged(one: Away, other: Away): Away {
  const running = new Set([...one.running, ...other.running]);
  const finished = new Set(other.finished);
  return { running: [...running].filter((id) => !finished.has(id)), finished: [...finished] };
}

export function kept(): Away {
  try {
    return { ...NONE, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Away>) };
  } catch {
    return NONE;
  }
}

export function keep(away: Away): void {
  localStorage.setItem(KEY, JSON.stringify(away));
}
