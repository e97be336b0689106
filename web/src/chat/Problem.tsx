import type { FairleadError } from "@fairlead/client";
import { inWords, words } from "../words/words.js";

interface Props {
  error: FairleadError;
  onRetry?: (() => void) | undefined;
}

/** What went wrong, in words that help, and what the server says of it. */
export function Problem({ error, onRetry }: Props) {
  const { text, detail } = inWords(error);
  return (
    <div className="problem" role="alert" data-code={error.code}>
      <p>{text}</p>
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
