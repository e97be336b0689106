import { language, span } from "../words/words.js";

/** As the browser's person writes times and numbers, in one of the page's languages. */
const locale = /^(en|zh)\b/.test(navigator.language) ? navigator.language : language;

/** A number as people write it, with a decimal where it is small. */
export const number = (value: number, digits = value < 10 ? 1 : 0): string =>
  value.toLocaleString(locale, { maximumFractionDigits: digits });

/** A whole number, shortened where it is large. */
export const count = (value: number): string =>
  value.toLocaleString(locale, {
    ...(value >= 100_000 && { notation: "compact", maximumFractionDigits: 1 }),
  });

/** An amount of a budget or a cost: tokens whole, money with its decimals. */
export const amount = (value: number, unit: string): string =>
  unit === "tokens" || unit === "requests"
    ? value.toLocaleString(locale)
    : value.toLocaleString(locale, { minimumFractionDigits: 2, maximumFractionDigits: 4 });

/** Seconds since 1970 as a date with its time. */
export const date = (seconds: number): string =>
  new Date(seconds * 1000).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

/** Seconds since 1970 as a day (UTC). */
export const day = (seconds: number): string =>
  new Date(seconds * 1000).toLocaleDateString(locale, {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });

/** Seconds since 1970 as the time of day. */
export const time = (seconds: number): string =>
  new Date(seconds * 1000).toLocaleTimeString(locale);

/** The beginning of a node's name, as much as tells it from others. */
export const short = (node: string): string => node.slice(0, 8);

export { span };
