import type { FairleadError } from "@fairlead/client";
import { en, type Words } from "./en.js";
export type { Words };
import { zh } from "./zh.js";

/** The language that the browser prefers, of the two that there are. */
export const language = /^zh\b/i.test(globalThis.navigator?.language ?? "en") ? "zh" : "en";

/** The page's words in that language. */
export const words: Words = { en, zh }[language];

/** A span of time, as long as it sounds. */
export function span(seconds: number, said: Words = words): string {
  if (seconds < 100) return said.seconds(Math.max(1, Math.ceil(seconds)));
  if (seconds < 5400) return said.minutes(Math.round(seconds / 60));
  if (seconds < 129_600) return said.hours(Math.round(seconds / 3600));
  return said.days(Math.round(seconds / 86_400));
}

/** A size in bytes. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size < 10 && unit ? size.toFixed(1).replace(/\.0$/, "") : Math.round(size)} ${units[unit]}`;
}

/** What went wrong, in words that help; `detail` is what the server itself says of it. */
export function inWords(
  error: Pick<FairleadError, "code" | "message" | "retryAfter" | "budget">,
  said: Words = words,
): { text: string; detail: string } {
  const { code, message, retryAfter, budget } = error;
  const parts = [said.errors[code] ?? said.errors["unknown"]!];
  // One code for all that a model's server does not accept; this is what the server says of it.
  if (code === "upstream_rejected" && message.startsWith("the dialogue is too long for")) {
    parts[0] = said.dialogueTooLong;
  }
  if (code === "budget_exhausted") {
    if (budget) parts[0] = said.budgetNamed(budget);
    if (retryAfter !== null) parts.push(said.refillsIn(span(retryAfter, said)));
  } else if (retryAfter !== null && retryAfter > 0) {
    parts.push(said.retryIn(span(retryAfter, said)));
  }
  const own = code === "unreachable" || code === "stalled" || code === "protocol";
  return { text: parts.join(" "), detail: own ? "" : message };
}
