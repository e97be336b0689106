import type { TransportName } from "./transport.js";

/** Milliseconds until a transport that did not get through is tried again; each time twice as long. */
const FIRST_PENALTY = 60_000;
const LONGEST_PENALTY = 600_000;

/**
 * What a client knows of the network path to its server: which transports get through. Shared by
 * all its answers, so that the second one does not stumble where the first one did.
 */
export class Path {
  readonly #ladder: readonly TransportName[];
  readonly #blocked = new Map<TransportName, { until: number; penalty: number }>();

  /** `ladder`: the transports in order of preference; the last one is never given up. */
  constructor(ladder: readonly TransportName[]) {
    this.#ladder = ladder;
  }

  /** The transport to use at `now` (milliseconds): the first one that is not known to be blocked. */
  choose(now: number): TransportName {
    const free = this.#ladder.find((name) => (this.#blocked.get(name)?.until ?? 0) <= now);
    return free ?? (this.#ladder.at(-1) as TransportName);
  }

  /** Whether there is another transport to fall to. */
  hasNext(name: TransportName): boolean {
    return name !== this.#ladder.at(-1);
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
