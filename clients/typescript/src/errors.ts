/** What a server, or the line to it, says went wrong. The codes are those of PROTOCOL.md, section 7. */
export interface Problem {
  error: string;
  code: string;
  retryable?: boolean | undefined;
  /** Seconds after which to try again. */
  retry_after?: number | null | undefined;
  /** The budget that is used up. */
  budget?: string | undefined;
}

/**
 * Why an answer failed, or could not be read.
 *
 * Three codes are this client's own: `unreachable` (no connection), `stalled` (a connection on
 * which nothing came) and `protocol` (what answered does not speak this protocol).
 */
export class FairleadError extends Error {
  override readonly name = "FairleadError";
  /** A stable code, such as `busy` or `not_found`. */
  readonly code: string;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** Seconds after which the server wishes to be asked again, or null. */
  readonly retryAfter: number | null;
  /** The budget that is used up, or empty. */
  readonly budget: string;
  /** The HTTP status, or 0 where there was none. */
  readonly status: number;

  constructor(problem: Problem, status = 0) {
    super(problem.error);
    this.code = problem.code;
    this.retryable = problem.retryable === true;
    this.retryAfter = typeof problem.retry_after === "number" ? problem.retry_after : null;
    this.budget = problem.budget ?? "";
    this.status = status;
  }
}

/** What answered does not speak this protocol. */
export function notUnderstood(what: string): FairleadError {
  return new FairleadError({ error: `the server sent ${what}`, code: "protocol" });
}

/** Nothing came on a connection, not even a heartbeat. */
export const STALLED = new FairleadError({
  error: "nothing came for too long",
  code: "stalled",
  retryable: true,
});

/** The connection broke, or there was none. */
export function unreachable(cause: unknown): FairleadError {
  const error = cause instanceof Error ? cause.message : String(cause);
  return new FairleadError({ error, code: "unreachable", retryable: true });
}
