import { FairleadError, type Fairlead } from "@fairlead/client";
import type { UseConversation } from "@fairlead/client/react";
import { useCallback, useEffect, useRef, useState } from "react";
import * as kept from "../lib/kept.js";

/**
 * Stops the answer that is being written. Where the server cannot be reached that is remembered,
 * and done as soon as it can be: by this page, or by the next one that is opened.
 */
export function useStop(chat: UseConversation, client: Fairlead, online: boolean) {
  const { stopping, busy, connection, messages, stop } = chat;
  const [held, setHeld] = useState(false);
  const stream = useRef("");
  stream.current = messages.at(-1)?.stream ?? "";
  const waits = connection?.state === "waiting" || !online;
  useEffect(() => {
    if (!stopping) setHeld(false);
    else if (waits) setHeld(true);
  }, [stopping, waits]);

  // What an earlier page could not deliver.
  useEffect(() => {
    for (const stream of kept.stops()) {
      void client.stop(stream).then(
        () => kept.forgetStop(stream),
        (problem: unknown) => {
          if (!(problem instanceof FairleadError)) throw problem;
          if (!problem.retryable) kept.forgetStop(stream);
        },
      );
    }
  }, [client]);

  useEffect(() => {
    if (!busy && stream.current) kept.forgetStop(stream.current);
  }, [busy]);

  return {
    /** Whether a stop waits for the line. */
    held,
    press: useCallback(() => {
      if (stream.current) kept.keepStop(stream.current);
      stop();
    }, [stop]),
  };
}
