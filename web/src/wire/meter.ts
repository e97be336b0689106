import type { AnswerEvent, ConnectionState, TransportName } from "@fairlead/client";

/** What the line of an answer did so far. Times are in milliseconds. */
export interface Reading {
  readonly transport: TransportName | null;
  readonly state: ConnectionState["state"];
  readonly began: number;
  /** From asking to the first piece of the text; null: there is none yet, or it was not asked here. */
  readonly firstToken: number | null;
  readonly tokens: number;
  /** Tokens a second since the first one. */
  readonly rate: number | null;
  readonly reconnects: number;
  /** The position after which it was last resumed; empty: it never was. */
  readonly resumed: string;
  readonly ended: boolean;
}

/** Reads the line of one answer. `asked`: it was asked here, and not found under way. */
export class Meter {
  #reading: Reading;
  readonly #asked: boolean;
  #position = "";
  #first = 0;
  #opened = false;
  #broken = false;

  constructor(now: number, asked: boolean) {
    this.#asked = asked;
    this.#reading = {
      ...{ transport: null, state: "connecting", began: now, firstToken: null, tokens: 0 },
      ...{ rate: null, reconnects: 0, resumed: "", ended: false },
    };
  }

  get reading(): Reading {
    return this.#reading;
  }

  connection(state: ConnectionState): void {
    const change: Partial<Mutable> = { state: state.state, transport: state.transport };
    // A poll that has ended as it should is followed by the next one: nothing broke.
    if (state.state === "waiting") this.#broken = true;
    if (state.state === "open") {
      if (this.#opened && this.#broken) {
        change.reconnects = this.#reading.reconnects + 1;
        change.resumed = this.#position;
      }
      this.#opened = true;
      this.#broken = false;
    }
    this.#reading = { ...this.#reading, ...change };
  }

  event(event: AnswerEvent, now: number): void {
    const change: Partial<Mutable> = {};
    this.#position = event.position;
    if (event.type === "token" || event.type === "reasoning") {
      const tokens = this.#reading.tokens + 1;
      change.tokens = tokens;
      if (!this.#first) {
        this.#first = now;
        if (this.#asked) change.firstToken = now - this.#reading.began;
      } else if (now > this.#first) {
        change.rate = ((tokens - 1) * 1000) / (now - this.#first);
      }
    } else if (event.type === "usage" && event.data.output_tokens) {
      // The server counts what the model wrote; an event may hold more than one of them.
      change.tokens = event.data.output_tokens;
      if (this.#first && now > this.#first) {
        change.rate = (event.data.output_tokens * 1000) / (now - this.#first);
      }
    } else if (event.type === "done" || event.type === "error") {
      change.ended = true;
    }
    this.#reading = { ...this.#reading, ...change };
  }
}

type Mutable = { -readonly [K in keyof Reading]: Reading[K] };

/** Milliseconds between two looks at figures that change all the time. */
const LOOK = 200;

/** The meters of the answers that were read here, by their message's key; observable. */
export class Meters {
  readonly #meters = new Map<string, Meter>();
  readonly #listeners = new Set<() => void>();
  #telling: ReturnType<typeof setTimeout> | undefined;

  connection(key: string, state: ConnectionState): void {
    this.#of(key).connection(state);
    this.#tell();
  }

  event(key: string, event: AnswerEvent): void {
    this.#of(key).event(event, performance.now());
    // Tokens come too fast to be counted one by one before people's eyes.
    if (event.type !== "token" && event.type !== "reasoning") this.#tell();
    else this.#telling ??= setTimeout(() => this.#tell(), LOOK);
  }

  /** What is known of the line of a message's answer; undefined: it was not read here. */
  reading(key: string): Reading | undefined {
    return this.#meters.get(key)?.reading;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #of(key: string): Meter {
    let meter = this.#meters.get(key);
    if (!meter)
      this.#meters.set(key, (meter = new Meter(performance.now(), key.startsWith("new-"))));
    return meter;
  }

  #tell(): void {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    for (const listener of this.#listeners) listener();
  }
}
