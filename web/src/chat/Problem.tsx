import type { FairleadError } from "@fairlead/client";
import { useEffect, useState } from "react";
import { inWords, words } from "../words/words.js";

interface Props {
  error: FairleadError;
  onRetry?: (() => void) | undefined;
}

/** Milliseconds; no browser's timer waits longer. */
const LONGEST = 2 ** 31 - 1;

/** What went wrong, in words that help, and what the server says of it. */
export function Problem({ error, onRetry }: Props) {
  const waits = useWait(error);
  const { code, message, budget, retryAfter } = error;
  const { text, detail } = inWords(waits ? error : { code, message, budget, retryAfter: null });
  return (
    <div className="problem" role="alert" data-code={code}>
      <p>
        {text}
        {!waits && retryAfter !== null && ` ${words.retryNow}`}
      </p>
      {detail && (
        <details>
          <summary>{words.serverSays}</summary>
          <p dir="auto">{detail}</p>
        </details>
      )}
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          {words.tryAgain}
        </button>
      )}
    </div>
  );
}

/** Whether the time is not over yet after which the server wishes to be asked again. */
function useWait(error: FairleadError): boolean {
  const [over, setOver] = useState<FairleadError | null>(null);
  const wait = (error.retryAfter ?? 0) * 1000;
  useEffect(() => {
    if (wait > LONGEST) return;
    const timer = setTimeout(() => setOver(error), wait);
    return () => clearTimeout(timer);
  }, [error, wait]);
  return wait > 0 && over !== error;
}
