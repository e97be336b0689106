import type { AnswerEvent, ConnectionState, TransportName } from "@fairlead/client";

/** What is compared. */
export const COMPARED = ["sse", "websocket", "poll", "ndjson", "connect"] as const;
export type Compared = Extract<TransportName, (typeof COMPARED)[number]>;

/** Text that came. Times here are in milliseconds since the lines were opened. */
export interface Arrival {
  readonly at: number;
  /** Where the reader stood after it. */
  readonly position: string;
  readonly characters: number;
}

/** A line that was cut. */
export interface Cut {
  readonly at: number;
  /** When the next event had come, over a connection that was made anew; null: none has yet. */
  healed: number | null;
}

/** What one line brought, and when. */
export class Track {
  firstEvent: number | null = null;
  firstToken: number | null = null;
  readonly arrivals: Arrival[] = [];
  readonly cuts: Cut[] = [];
  text = "";
  events = 0;
  /** Events that did not stand after the one before them. */
  repeated = 0;
  state: ConnectionState["state"] | "ended" = "connecting";
  /** Why it could not be read to its end. */
  problem = "";
  #position = "";
  /** Whether a connection was begun since the last cut. */
  #anew = false;

  constructor(readonly transport: Compared) {}

  connection({ state }: ConnectionState): void {
    if (state === "connecting") this.#anew = true;
    this.state = state;
  }

  /** The line was cut; what it had brought before may still be on its way to us. */
  cut(at: number): void {
    this.#anew = false;
    this.cuts.push({ at, healed: null });
  }

  event(event: AnswerEvent, at: number): void {
    this.events += 1;
    if (event.position <= this.#position) this.repeated += 1;
    this.#position = event.position;
    this.firstEvent ??= at;
    const cut = this.cuts.at(-1);
    if (this.#anew && cut?.healed === null) {
      // One that was cut again before it had healed has healed with it.
      for (const one of this.cuts) one.healed ??= at;
    }
    if (event.type === "reset") this.text = event.data.text;
    const piece = pieceOf(event);
    if (piece === null) return;
    this.firstToken ??= at;
    this.arrivals.push({ at, position: event.position, characters: piece.length });
    if (event.type === "token") this.text += piece;
  }

  end(problem = ""): void {
    this.state = "ended";
    this.problem = problem;
  }
}

/** The text that an event brings, of the answer or of the reasoning before it. */
function pieceOf(event: AnswerEvent): string | null {
  if (event.type === "token") return event.data.part ? null : event.data.token;
  return event.type === "reasoning" ? event.data.reasoning : null;
}
