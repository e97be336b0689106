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

/** What is known after a look at the list. `seen`: the conversation that is looked at. Pure. */
export function after(away: Away, listed: readonly ConversationSummary[], seen: string): Away {
  const running = new Set(away.running);
  const finished = new Set(away.finished);
  for (const { conversation_id: id, status } of listed) {
    if (status === "running") {
      running.add(id);
      finished.delete(id);
    } else if (running.delete(id)) finished.add(id);
  }
  finished.delete(seen);
  return { running: [...running], finished: [...finished] };
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
