import type { Arrival, Compared, Cut } from "./track.js";

/** What one line brought, as figures are made of it. */
export interface Measured {
  readonly transport: Compared;
  readonly firstEvent: number | null;
  readonly firstToken: number | null;
  readonly arrivals: readonly Arrival[];
  readonly cuts: readonly Cut[];
  /** Bytes that the page counted. */
  readonly bytes: number;
  /** Bytes that the browser says went over the network, headers too; null: it does not say. */
  readonly transferred: number | null;
  readonly requests: number;
  /** How long it took to the first event, each time that it was read alone. */
  readonly setups: readonly number[];
}

/** The figures of one line. Times are in milliseconds; null: there is nothing to tell. */
export interface Figures {
  readonly transport: Compared;
  readonly setup: number | null;
  readonly firstToken: number | null;
  /** Between two arrivals of text. */
  readonly gap: { readonly median: number; readonly p95: number; readonly longest: number } | null;
  /** After the line that was first with the same text. */
  readonly behind: { readonly median: number; readonly p95: number } | null;
  readonly bytes: number;
  readonly transferred: number | null;
  readonly requests: number;
  readonly reconnect: number | null;
  readonly cuts: number;
}

/** The value below which a share of the values lies. Pure. */
export function quantile(values: readonly number[], share: number): number | null {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

export const median = (values: readonly number[]) => quantile(values, 0.5);

/** The times between two arrivals. Pure. */
export function gaps(arrivals: readonly Arrival[]): number[] {
  return arrivals.slice(1).map(({ at }, index) => at - arrivals[index]!.at);
}

/**
 * How much later each piece of text came than over the line that had it first. A line that reads
 * several pieces at once has them all when it has the last. What came while a line was cut does not
 * count. Pure.
 */
export function behind(one: Measured, all: readonly Measured[]): number[] {
  const others = all.map(({ arrivals }) => new Reached(arrivals));
  const own = new Reached(one.arrivals);
  const found: number[] = [];
  const positions = new Set(
    all.flatMap(({ arrivals }) => arrivals.map(({ position }) => position)),
  );
  for (const position of [...positions].sort()) {
    const at = own.at(position);
    const times = others.map((other) => other.at(position));
    if (at === null || times.includes(null)) continue;
    const first = Math.min(...(times as number[]));
    if (all.some(({ cuts }) => cuts.some((cut) => during(cut, first, at)))) continue;
    found.push(at - first);
  }
  return found;
}

const during = ({ at, healed }: Cut, from: number, to: number) =>
  to >= at && from <= (healed ?? Infinity);

/** When a line had reached a position. To be asked for positions in their order. */
class Reached {
  #next = 0;
  readonly #arrivals: readonly Arrival[];

  constructor(arrivals: readonly Arrival[]) {
    this.#arrivals = arrivals;
  }

  at(position: string): number | null {
    // Positions of one stream sort as text in the order of reading.
    while ((this.#arrivals[this.#next]?.position ?? "~") < position) this.#next += 1;
    return this.#arrivals[this.#next]?.at ?? null;
  }
}

/** The times from a cut to the next event. Pure. */
export const healings = (cuts: readonly Cut[]) =>
  cuts.flatMap(({ at, healed }) => (healed === null ? [] : [healed - at]));

/** Pure. */
export function figures(one: Measured, all: readonly Measured[]): Figures {
  const { transport, firstToken, bytes, transferred, requests, cuts, setups } = one;
  const between = gaps(one.arrivals);
  const late = behind(one, all);
  return {
    ...{ transport, firstToken, bytes, transferred, requests },
    setup: median(setups),
    gap: between.length
      ? {
          median: median(between)!,
          p95: quantile(between, 0.95)!,
          longest: Math.max(...between),
        }
      : null,
    behind: late.length ? { median: median(late)!, p95: quantile(late, 0.95)! } : null,
    reconnect: median(healings(cuts)),
    cuts: cuts.length,
  };
}

/** The shares of values up to each of them: for a plot of how they are spread. Pure. */
export function spread(values: readonly number[]): [number[], number[]] {
  const sorted = [...values].sort((a, b) => a - b);
  const x: number[] = [];
  const y: number[] = [];
  for (const [index, value] of sorted.entries()) {
    const share = ((index + 1) / sorted.length) * 100;
    if (x.at(-1) === value) y[y.length - 1] = share;
    else {
      x.push(value);
      y.push(share);
    }
  }
  return [x, y];
}

/** Less than this (ms) nobody sees: it is about one frame of a screen. */
export const SEEN = 16;

/**
 * Which of SSE and WebSocket had the text first, as a rule, and by how much; `first` null: neither,
 * that one could see. Null: it cannot be said. Pure.
 */
export function ahead(all: readonly Figures[]): { first: Compared | null; by: number } | null {
  const of = (name: Compared) => all.find(({ transport }) => transport === name)?.behind?.median;
  const sse = of("sse");
  const socket = of("websocket");
  if (sse === undefined || socket === undefined) return null;
  const by = Math.abs(sse - socket);
  return { first: by < SEEN ? null : sse < socket ? "sse" : "websocket", by };
}
