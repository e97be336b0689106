import { labWords } from "../words/lab.js";
import { language, words } from "../words/words.js";
import { ahead, type Figures } from "./figures.js";

/** A time, as exactly as it is worth saying. */
export function milliseconds(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  const digits = value < 10 ? 1 : 0;
  return `${value.toLocaleString(language, { maximumFractionDigits: digits })} ms`;
}

/** What the figures say, in sentences. */
export function conclusions(all: readonly Figures[], plain: number | null): string[] {
  const of = (name: string) => all.find(({ transport }) => transport === name);
  const said: string[] = [];
  const first = ahead(all);
  if (first && !first.first) {
    said.push(labWords.noDifference(milliseconds(Math.max(1, first.by))));
  } else if (first?.first) {
    const second = first.first === "sse" ? "websocket" : "sse";
    const names = words.transports;
    said.push(labWords.isAhead(names[first.first], names[second], milliseconds(first.by)));
  }
  const [sse, socket] = [of("sse")?.setup ?? null, of("websocket")?.setup ?? null];
  if (sse !== null && socket !== null && plain !== null) {
    said.push(labWords.setupSaid(milliseconds(sse), milliseconds(socket), milliseconds(plain)));
  }
  const poll = of("poll");
  if (poll?.behind) {
    said.push(labWords.pollSaid(milliseconds(poll.behind.median), poll.requests));
  }
  return said;
}
