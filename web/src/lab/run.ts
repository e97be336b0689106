import { Fairlead, FairleadError, type Answer } from "@fairlead/client";
import { access, type Session } from "../lib/session.js";
import { Line } from "../wire/line.js";
import { figures, median, type Figures, type Measured } from "./figures.js";
import { Tally } from "./tally.js";
import { Track, type Compared } from "./track.js";

/** How often each line is opened alone, and a plain request made. */
const ROUNDS = 5;
/** Milliseconds between two looks at what has come. */
const LOOK = 40;
/** Tries in a row to make a connection anew: without a wait they are over soon. */
const TRIES = 20;

/** One transport, with what it brought. */
export interface Lane {
  readonly track: Track;
  readonly tally: Tally;
  readonly line: Line;
  readonly setups: number[];
  /** Bytes that the browser says went over the network; null: it does not say. */
  transferred: number | null;
  /** Whether its text is the server's, letter for letter, with nothing repeated; null: not known yet. */
  exact: boolean | null;
}

export interface Asked {
  question: string;
  model: string;
  transports: readonly Compared[];
}

/** One answer that is read over all lines at once, and then over each alone. Observable. */
export class Run {
  state: "asking" | "reading" | "opening" | "ended" = "asking";
  error: FairleadError | null = null;
  readonly lanes: readonly Lane[];
  readonly asked: Asked;
  readonly began = new Date();
  /** The times of a plain request (ms). */
  readonly plain: number[] = [];
  /** What the browser speaks with the server: `http/1.1`, `h2`, `h3`, or empty. */
  readonly protocol = spoken();
  model = "";
  #stream = "";
  #conversation = "";
  #opened = 0;
  #version = 0;
  #telling: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #leaving = new AbortController();
  readonly #session: Session;

  constructor(session: Session, asked: Asked) {
    this.#session = session;
    this.asked = asked;
    this.lanes = asked.transports.map((transport) => {
      const line = new Line();
      return {
        ...{ track: new Track(transport), tally: new Tally(line), line },
        ...{ setups: [], transferred: null, exact: null },
      };
    });
  }

  /** Ask, read and measure, to the end of it. */
  async go(): Promise<void> {
    try {
      await this.#ask();
      this.#to("reading");
      await this.#together();
      this.#to("opening");
      await this.#alone();
    } catch (problem) {
      if (this.#leaving.signal.aborted) return;
      if (!(problem instanceof FairleadError)) throw problem;
      this.error = problem;
    }
    this.#to("ended");
    await this.#tidy();
  }

  /** End the answer; what came is measured all the same. */
  stop(): void {
    if (this.#stream) void this.#session.client.stop(this.#stream).catch(() => {});
  }

  /** Break every line for real. One that is just between two polls is cut at the next. */
  cut(): void {
    for (const { line, track } of this.lanes) {
      if (track.state === "ended") continue;
      const cut = () => {
        track.cut(this.#now());
        line.cut();
        this.#tell();
      };
      if (line.open) cut();
      else {
        const unsubscribe = line.subscribe(() => {
          if (!line.open) return;
          unsubscribe();
          setTimeout(cut);
        });
      }
    }
  }

  /** Nobody looks any more: the answer is stopped, and nothing of it stays. */
  async leave(): Promise<void> {
    if (this.#leaving.signal.aborted || this.state === "ended") return;
    this.#leaving.abort();
    if (!this.#stream) return;
    await this.#session.client.stop(this.#stream).catch(() => {});
    await this.#tidy();
  }

  get measured(): Measured[] {
    return this.lanes.map(({ track, tally, setups, transferred }) => ({
      transport: track.transport,
      firstEvent: track.firstEvent,
      firstToken: track.firstToken,
      arrivals: track.arrivals,
      cuts: track.cuts,
      bytes: tally.bytes,
      requests: tally.requests,
      ...{ transferred, setups },
    }));
  }

  get figures(): Figures[] {
    const all = this.measured;
    return all.map((one) => figures(one, all));
  }

  /** The network's round trip with what the server needs for a plain request (ms). */
  get roundTrip(): number | null {
    return median(this.plain);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  version = (): number => this.#version;

  /** Ask once, and leave the answer to the lines. */
  async #ask(): Promise<void> {
    // What a line costs is not what it costs to fetch the code that reads it.
    await Promise.all([
      import("@fairlead/client/websocket"),
      import("@fairlead/client/ndjson"),
      import("@fairlead/client/connect"),
    ]);
    const { question, model } = this.asked;
    const answer = this.#session.client.ask(question, {
      ...(model && { model }),
      signal: this.#leaving.signal,
    });
    for await (const event of answer) {
      this.#stream = event.stream;
      this.#conversation = event.data.conversation_id ?? "";
      this.model = event.data.model ?? "";
      break;
    }
  }

  /** Read the answer over all lines, which are opened at the same moment. */
  async #together(): Promise<void> {
    const transfers = new Transfers();
    this.#opened = performance.now();
    await Promise.all(shuffled(this.lanes).map((lane) => this.#read(lane)));
    const ended = performance.now();
    const record = await this.#session.client.answer(this.#stream);
    for (const lane of this.lanes) {
      lane.exact = lane.track.text === record.text && lane.track.repeated === 0;
      const { track, tally } = lane;
      // Of requests that were cut it tells a part.
      if (!track.cuts.length)
        lane.transferred = transfers.of(track.transport, ended, tally.requests);
    }
    transfers.end();
    const { error, code, retryable } = record;
    if (error && code) throw new FairleadError({ error, code, retryable });
  }

  async #read({ track, tally }: Lane): Promise<void> {
    const client = new Fairlead({
      ...access(),
      ...{ fetch: tally.fetch, WebSocket: tally.WebSocket, transport: track.transport },
      // What is measured is the line, and not the time that servers ask for between two tries.
      ...{ maxDelay: 0, maxRetries: TRIES },
    });
    const answer = client.attach(this.#stream, {
      signal: this.#leaving.signal,
      onConnection: (state) => {
        track.connection(state);
        this.#tell();
      },
    });
    try {
      for await (const event of answer) {
        track.event(event, this.#now());
        this.#tell();
      }
      track.end();
    } catch (problem) {
      if (!(problem instanceof FairleadError)) throw problem;
      track.end(problem.message);
    }
  }

  /** Open each line by itself, again and again, on the answer that is complete. */
  async #alone(): Promise<void> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const began = performance.now();
      await this.#session.server.me();
      this.plain.push(performance.now() - began);
      for (const { track, setups } of shuffled(this.lanes)) {
        const client = new Fairlead({ ...access(), transport: track.transport, maxRetries: 0 });
        const answer = client.attach(this.#stream, { signal: this.#leaving.signal });
        try {
          setups.push(await untilFirst(answer));
        } catch (problem) {
          if (!(problem instanceof FairleadError)) throw problem; // it has one figure less
        }
      }
      this.#tell();
    }
  }

  /** The question was asked for the measurement alone. */
  async #tidy(): Promise<void> {
    if (!this.#conversation) return;
    await this.#session.server.remove(this.#conversation).catch(() => {});
  }

  #now(): number {
    return performance.now() - this.#opened;
  }

  #to(state: Run["state"]): void {
    this.state = state;
    this.#tell();
  }

  /** Tokens come too fast to be shown one by one; and pages that are hidden draw no frames. */
  #tell(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#version += 1;
      for (const listener of this.#listeners) listener();
    }, LOOK);
  }
}

/** Milliseconds until the first event. All are read, so that the connection can be used again. */
async function untilFirst(answer: Answer): Promise<number> {
  const began = performance.now();
  let first = NaN;
  for await (const _ of answer) if (Number.isNaN(first)) first = performance.now() - began;
  return first;
}

/** In an order that favours nobody. */
function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map((one) => ({ one, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one);
}

function spoken(): string {
  const [navigation] = performance.getEntriesByType("navigation");
  return (navigation as PerformanceNavigationTiming | undefined)?.nextHopProtocol ?? "";
}

/** What the browser says of the bytes of each request. It keeps quiet about WebSockets. */
class Transfers {
  readonly #entries: PerformanceResourceTiming[] = [];
  readonly #observer = new PerformanceObserver((list) => this.#keep(list.getEntries()));
  readonly #began = performance.now();

  constructor() {
    this.#observer.observe({ type: "resource" });
  }

  /** Bytes over the network, headers too; null where it does not tell of each request. */
  of(transport: Compared, until: number, requests: number): number | null {
    this.#keep(this.#observer.takeRecords());
    const of = this.#entries.filter(
      ({ name, startTime, transferSize }) =>
        startTime >= this.#began &&
        startTime <= until &&
        transferSize > 0 &&
        OWN[transport]?.test(name),
    );
    if (!of.length || of.length < requests) return null;
    return of.reduce((sum, { transferSize }) => sum + transferSize, 0);
  }

  end(): void {
    this.#observer.disconnect();
  }

  #keep(entries: PerformanceEntryList): void {
    this.#entries.push(...(entries as PerformanceResourceTiming[]));
  }
}

/** Whose request an address is. */
const OWN: Partial<Record<Compared, RegExp>> = {
  sse: /\/streams\/[^/?]+$/,
  poll: /\/streams\/[^/?]+\?wait=/,
  ndjson: /\/streams\/[^/?]+\?after=/,
  connect: /\/fairlead\.v1\.Answers\/Attach$/,
};
