import type { TransportName } from "./transport.js";

/** Transports, the preferred one first. */
export type Ladder = readonly TransportName[];

/** Milliseconds until a transport that did not get through is tried again; each time twice as long. */
const FIRST_PENALTY = 60_000;
const LONGEST_PENALTY = 600_000;

/**
 * What a client knows of the network path to its server: which transports get through. Shared by
 * all its answers, so that the second one does not stumble where the first one did.
 *
 * Each answer has a ladder of its own: the transports in its order of preference. The last one is
 * never given up.
 */
export class Path {
  readonly #blocked = new Map<TransportName, { until: number; penalty: number }>();

  /** The transport to use at `now` (milliseconds): the first one that is not known to be blocked. */
  choose(ladder: Ladder, now: number): TransportName {
    const free = ladder.find((name) => (this.#blocked.get(name)?.until ?? 0) <= now);
    return free ?? (ladder.at(-1) as TransportName);
  }

  /** Whether the transport did not get through the last time. */
  suspects(name: TransportName): boolean {
    return this.#blocked.has(name);
  }

  /** Something came over it. */
  works(name: TransportName): void {
    this.#blocked.delete(name);
  }

  /** Nothing came over it. */
  blocks(name: TransportName, now: number): void {
    const penalty = this.#blocked.get(name)?.penalty ?? FIRST_PENALTY;
    this.#blocked.set(name, {
      until: now + penalty,
      penalty: Math.min(2 * penalty, LONGEST_PENALTY),
    });
  }
}
