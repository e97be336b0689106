import type { UsageRow } from "@fairlead/client/admin";

const DAY = 86_400_000;

/** The last so many days up to `now`, in UTC, as the server counts them (`2026-11-20`). Pure. */
export function lastDays(number: number, now: Date): string[] {
  return Array.from({ length: number }, (_, at) =>
    new Date(now.getTime() - (number - 1 - at) * DAY).toISOString().slice(0, 10),
  );
}

/** The tokens of each of the days, also of those on which nothing was used. Pure. */
export function perDay(
  days: readonly string[],
  rows: readonly UsageRow[],
): { input: number; output: number }[] {
  const found = new Map(days.map((day) => [day, { input: 0, output: 0 }]));
  for (const { day, input_tokens, output_tokens } of rows) {
    const sum = found.get(day);
    if (!sum) continue;
    sum.input += input_tokens;
    sum.output += output_tokens;
  }
  return [...found.values()];
}

/** All rows together; money by its currency. Pure. */
export function summed(rows: readonly UsageRow[]) {
  const total = {
    requests: 0,
    input_tokens: 0,
    output_tokens: 0,
    money: {} as Record<string, number>,
  };
  for (const row of rows) {
    total.requests += row.requests;
    total.input_tokens += row.input_tokens;
    total.output_tokens += row.output_tokens;
    if (row.currency) {
      total.money[row.currency] = (total.money[row.currency] ?? 0) + (row.money ?? 0);
    }
  }
  return total;
}
