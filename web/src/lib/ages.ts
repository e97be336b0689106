import type { ConversationSummary } from "@fairlead/client";

/** How long ago something was, as people say it. */
export type Age = "today" | "yesterday" | "week" | "month" | "older";

const AGES: readonly (readonly [Age, number])[] = [
  ["today", 0],
  ["yesterday", 1],
  ["week", 7],
  ["month", 30],
];

/** The age of a moment (milliseconds since 1970), by the days of where `now` is. Pure. */
export function ageOf(moment: number, now: Date): Age {
  // Days are what calendars say they are, some of 23 hours and some of 25.
  const ago = (days: number) =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime();
  return AGES.find(([, days]) => moment >= ago(days))?.[0] ?? "older";
}

/** A list with the newest first, in groups of the same age. Pure. */
export function byAge(
  all: readonly ConversationSummary[],
  now: Date,
): { age: Age; of: ConversationSummary[] }[] {
  const found: { age: Age; of: ConversationSummary[] }[] = [];
  for (const one of all) {
    const age = ageOf(one.updated * 1000, now);
    const last = found.at(-1);
    if (last?.age === age) last.of.push(one);
    else found.push({ age, of: [one] });
  }
  return found;
}
