/** Milliseconds; no backoff waits longer, unless the server asks for more. */
const LONGEST_WAIT = 30_000;

/**
 * Milliseconds until the next try: never sooner than the server wishes, and a little spread, so
 * that a restarted server is not met by all its readers at once. Pure.
 *
 * `failures`: tries in a row that came to nothing (0: the connection ended as it should). `retry`:
 * the first wait. `asked`: milliseconds that the server named for this very wait, or null.
 */
export function delay(
  failures: number,
  retry: number,
  asked: number | null,
  random: number,
): number {
  const longest = Math.max(LONGEST_WAIT, retry);
  const wait = asked ?? Math.min(retry * 2 ** Math.max(0, failures - 1), longest);
  return wait * (1 + random / 4);
}

/** Whether the browser knows that there is no network. Elsewhere nobody knows. */
export function offline(): boolean {
  return globalThis.navigator?.onLine === false;
}

/**
 * Wait so many milliseconds (Infinity: until something changes), or until the network is back, or
 * the page is looked at again: timers of hidden pages are slow. Rejects when `signal` aborts.
 */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const end = () => {
      clearTimeout(timer);
      controller.abort();
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = milliseconds < Infinity ? setTimeout(end, milliseconds) : undefined;
    const once = { signal: controller.signal };
    signal.addEventListener("abort", end, once);
    globalThis.addEventListener?.("online", end, once);
    globalThis.document?.addEventListener?.(
      "visibilitychange",
      () => {
        if (!document.hidden && !offline()) end();
      },
      once,
    );
    if (signal.aborted) end();
  });
}

/** Calls `bark` when nothing was heard for too long while it was on watch. */
export class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #bark: () => void;

  constructor(bark: () => void) {
    this.#bark = bark;
  }

  /** Watch for so many milliseconds from now on. */
  watch(milliseconds: number): void {
    clearTimeout(this.#timer);
    if (milliseconds < 2 ** 31) this.#timer = setTimeout(this.#bark, milliseconds);
  }

  rest(): void {
    clearTimeout(this.#timer);
  }
}
