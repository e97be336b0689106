import { FairleadError, STALLED, unreachable, type Problem } from "./errors.js";
import { eventOf, type AnswerEvent, type Message } from "./events.js";
import type { Http } from "./http.js";
import type { Ladder, Path } from "./path.js";
import { poll } from "./poll.js";
import { sse } from "./sse.js";
import {
  AGAIN,
  CLOSED,
  type Call,
  type Place,
  type Transport,
  type TransportName,
} from "./transport.js";
import { delay, offline, pause, Watchdog } from "./waiting.js";
import type { Sockets } from "./websocket.js";

/** How the connection stands, for people who wait. */
export type ConnectionState =
  | { state: "connecting" | "open"; transport: TransportName }
  /** `delay`: milliseconds until the next try (Infinity: until there is a network again). */
  | { state: "waiting"; transport: TransportName; delay: number; reason: FairleadError | null };

/** How patient a line is. All times are in milliseconds. */
export interface Patience {
  /**
   * Tries in a row without anything coming that are made anew before giving up (8). Infinity never
   * gives up. While the browser knows itself to be offline none is made and none counted.
   */
  maxRetries?: number;
  /**
   * What becomes of a question that the server refuses for now, because it is busy, say: it is
   * asked again when the server wishes (`retry`), or the refusal is thrown at once (`throw`). An
   * answer that has begun is read on either way.
   */
  refusals?: "retry" | "throw";
  /** No wait between two tries is longer than this, whatever the server asks (Infinity). */
  maxDelay?: number;
  /** A connection on which nothing came for so long is dead (60,000; heartbeats come every 30 s). */
  silence?: number;
  /**
   * A new answer shows its first sign at once. A path on which there is none for so long holds it
   * back, and the next transport is tried (10,000).
   */
  firstSign?: number;
}

/** A budget that refills later is not waited for (s): that is said at once. */
const LONGEST_REFILL = 60;

/** Consecutive connections that ended before anything came, after which a transport is blocked. */
const FRUITLESS = 2;

/** Codes of problems that no server states. */
const OF_THE_LINE: ReadonlySet<string> = new Set(["unreachable", "stalled", "protocol"]);

const TRANSPORTS: Record<TransportName, Transport> = {
  ...{ sse, websocket, poll, ndjson, connect },
};

/** Not everybody reads over these: they are fetched by who does. */
async function* websocket(call: Call): AsyncGenerator<Message> {
  yield* (await fetched(import("./websocket.js"))).websocket(call);
}

async function* ndjson(call: Call): AsyncGenerator<Message> {
  yield* (await fetched(import("./ndjson.js"))).ndjson(call);
}

async function* connect(call: Call): AsyncGenerator<Message> {
  yield* (await fetched(import("./connect.js"))).connect(call);
}

function fetched<T>(module: Promise<T>): Promise<T> {
  return module.catch((error: unknown) => {
    throw unreachable(error);
  });
}

/** What a line needs besides its place. */
export interface Means {
  http: Http;
  path: Path;
  /** Asked before each connection: it may change. */
  ladder: () => Ladder;
  /** Null where there is no WebSocket. */
  sockets: (() => Promise<Sockets>) | null;
  patience: Required<Patience>;
  onConnection: ((state: ConnectionState) => void) | undefined;
}

/**
 * The events after `place`, each exactly once and in order, to the answer's end, over as many
 * connections as it takes. `place` moves on with them. Throws {@link FairleadError} when no more
 * can be had, and the signal's reason when it aborts.
 */
export async function* follow(
  { http, path, ladder: ladderNow, sockets, patience, onConnection }: Means,
  place: Place,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, void, undefined> {
  const { maxRetries, maxDelay, silence, firstSign, refusals } = patience;
  let failures = 0;
  let fruitless = 0;
  for (;;) {
    const ladder = ladderNow();
    const name = path.choose(ladder, Date.now());
    const hasNext = name !== ladder.at(-1);
    onConnection?.({ state: "connecting", transport: name });

    let seen = false;
    let served = false;
    let waiting = false;
    let stalled = false;
    let again = false;
    let ended = false;
    let asked: number | null = null;
    let problem: FairleadError | null = null;
    const connection = new AbortController();
    const abort = () => connection.abort(signal.reason);
    const watchdog = new Watchdog(() => {
      stalled = true;
      connection.abort(STALLED);
    });
    // On a WebSocket a request is answered at once, wherever it begins to read.
    const early = name === "websocket" || (hasNext && (!place.position || path.suspects(name)));
    const watch = () => watchdog.watch(seen || !early ? silence : Math.min(firstSign, silence));
    const heard = () => {
      if (!seen) {
        seen = true;
        failures = fruitless = 0;
        path.works(name);
        onConnection?.({ state: "open", transport: name });
      }
      if (waiting) watch();
    };
    const call = { http, sockets, place, silence, heard, signal: connection.signal };
    const messages = TRANSPORTS[name](call)[Symbol.asyncIterator]();
    try {
      signal.throwIfAborted();
      signal.addEventListener("abort", abort);
      for (;;) {
        waiting = true; // we for the line, and not the line for its reader
        watch();
        const { done, value: message } = await messages.next();
        waiting = false;
        watchdog.rest();
        if (done) break;
        if (message.stream) place.stream = message.stream;
        if (message.type === CLOSED) return;
        if (message.type === AGAIN || message.type === "drain") {
          again = true;
          asked = seconds(message.data["retry_after"]) ?? (message.type === AGAIN ? 0 : null);
          break;
        }
        const event = advance(place, message);
        served = true;
        if (event === null) continue;
        ended = event.type === "done" || event.type === "error";
        yield event;
        if (ended) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FairleadError) problem = error;
      else if (stalled) problem = STALLED;
      else throw error;
      // A credential that was good for something is so no more; there may be another one.
      const over = problem.code === "unauthenticated" || problem.code === "revoked";
      const expired = served && over && http.renews;
      const refused = refusals === "throw" && !place.stream && !OF_THE_LINE.has(problem.code);
      const again = problem.retryable && !spent(problem) && !refused;
      if (!again && !expired && !(foreign(problem, seen) && hasNext)) throw problem;
      asked = seconds(problem.retryAfter);
    } finally {
      watchdog.rest();
      signal.removeEventListener("abort", abort);
      if (!ended) connection.abort();
      void messages.return?.().catch(() => {});
    }

    if (!again) {
      if (!seen && !problem) fruitless += 1;
      const blocked = (stalled && !seen) || fruitless >= FRUITLESS || foreign(problem, seen);
      if (blocked && hasNext) {
        path.blocks(name, Date.now());
        fruitless = 0;
        continue;
      }
      failures += 1;
      if (failures > maxRetries) throw problem ?? unreachable("the connection ended");
    }
    const wait = Math.min(delay(failures, place.retry, asked, Math.random()), maxDelay);
    if (wait === 0) continue;
    onConnection?.({ state: "waiting", transport: name, delay: wait, reason: problem });
    await pause(wait, signal);
    while (offline()) {
      onConnection?.({ state: "waiting", transport: name, delay: Infinity, reason: problem });
      await pause(Infinity, signal);
    }
  }
}

/** Whether a budget is used up for longer than anybody waits. */
function spent(problem: FairleadError): boolean {
  return problem.code === "budget_exhausted" && (problem.retryAfter ?? 0) > LONGEST_REFILL;
}

/** Whether something on the path answered in the server's place. */
function foreign(problem: FairleadError | null, seen: boolean): boolean {
  return !seen && problem?.code === "protocol" && problem.status === 0;
}

/** The message as an event, with `place` moved on to after it; null for one to be passed over. */
function advance(place: Place, message: Message): AnswerEvent | null {
  if (message.position === undefined) {
    // Not of the log: this reader may not read on.
    if (message.type === "error") throw new FairleadError(message.data as unknown as Problem);
    return null;
  }
  place.position = message.position;
  return eventOf(message, place.stream, message.position);
}

function seconds(value: unknown): number | null {
  return typeof value === "number" && value >= 0 ? value * 1000 : null;
}
