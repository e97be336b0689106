import { useCallback, useEffect, useRef, useState } from "react";
import type { Answer } from "../answer.js";
import type { AskOptions, AttachOptions, Fairlead, InterruptOptions } from "../client.js";
import type { ConnectionState } from "../line.js";
import { EMPTY, type AnswerState } from "../state.js";

/** What {@link useAnswer} gives. The functions stay the same from one rendering to the next. */
export interface UseAnswer {
  /** The answer so far; null before the first question. */
  answer: AnswerState | null;
  /** Whether it is being written. */
  running: boolean;
  /** How the connection stands: `waiting` says that it broke and is about to be made anew. */
  connection: ConnectionState | null;
  /** Ask, and show the answer. The promise gives it as it ended. */
  ask(message: string, options?: AskOptions): Promise<AnswerState>;
  /** Show an answer that was asked for before. */
  attach(stream: string, options?: AttachOptions): Promise<AnswerState>;
  /**
   * Stop the answer, ask on, and show the answer to that: it knows of this one what was shown. The
   * same as `ask` where none is being written.
   */
  interrupt(message: string, options?: InterruptOptions): Promise<AnswerState>;
  /** Stop the answer itself. */
  stop(): void;
  /** Leave the answer, which is written on, and show none. */
  clear(): void;
}

/**
 * One answer as it is written. Unmounting leaves the answer; it does not stop it.
 *
 * An answer's state is carried from event to event by the reading itself, and a state that React
 * holds is only ever replaced by a later one: no closure of an earlier rendering can lose the end.
 */
export function useAnswer(client: Fairlead): UseAnswer {
  const [answer, setAnswer] = useState<AnswerState | null>(null);
  const [connection, setConnection] = useState<ConnectionState | null>(null);
  const current = useRef<Answer | null>(null);
  // All that are being read: one that was interrupted is read to its end, though no longer shown.
  const open = useRef(new Set<Answer>());

  const leave = useCallback(() => {
    for (const answer of open.current) answer.close();
    open.current.clear();
    current.current = null;
  }, []);
  useEffect(() => leave, [client, leave]);

  const read = useCallback(
    async (make: (onConnection: (state: ConnectionState) => void) => Answer) => {
      const made: Answer = make((state) => {
        if (current.current === made) setConnection(state);
      });
      current.current = made;
      open.current.add(made);
      setAnswer(EMPTY);
      const ended = await made.result((state) => {
        if (current.current === made) setAnswer(state);
      });
      open.current.delete(made);
      return ended;
    },
    [],
  );

  const ask = useCallback(
    (message: string, options?: AskOptions) => {
      leave();
      return read((onConnection) => client.ask(message, { onConnection, ...options }));
    },
    [client, leave, read],
  );

  return {
    answer,
    running: answer?.status === "running",
    connection,
    ask,
    attach: useCallback(
      (stream, options) => {
        leave();
        return read((onConnection) => client.attach(stream, { onConnection, ...options }));
      },
      [client, leave, read],
    ),
    interrupt: useCallback(
      (message, options) => {
        const running = current.current;
        if (!running || !open.current.has(running)) return ask(message, options);
        return read((onConnection) => running.interrupt(message, { onConnection, ...options }));
      },
      [ask, read],
    ),
    stop: useCallback(() => {
      // A stop that cannot be delivered shows in the answer, which goes on.
      current.current?.stop().catch(() => {});
    }, []),
    clear: useCallback(() => {
      leave();
      setAnswer(null);
      setConnection(null);
    }, [leave]),
  };
}
