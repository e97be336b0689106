import type { LiveStream } from "@fairlead/client/admin";
import { useAnswer } from "@fairlead/client/react";
import { useEffect, useLayoutEffect, useRef } from "react";
import { Problem } from "../chat/Problem.js";
import { useSession } from "../lib/session.js";
import { Markdown } from "../markdown/Markdown.js";
import { Dialog } from "../ui/Dialog.js";
import { words } from "../words/words.js";
import { said } from "./words.js";

interface Props {
  one: LiveStream;
  onStop: () => void;
  onClose: () => void;
}

/** An answer of somebody, read along by the same reader that everybody has. */
export function Watch({ one, onStop, onClose }: Props) {
  const { client } = useSession();
  const { answer, connection, attach } = useAnswer(client);
  const { stream } = one;
  useEffect(() => {
    void attach(stream);
  }, [attach, stream]);
  const { text = "", reasoning = "", status = "running", error = null } = answer ?? {};
  const running = status === "running";

  // Who is at the end of it stays there.
  const place = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    const element = place.current!;
    if (atEnd.current) element.scrollTop = element.scrollHeight;
  }, [text]);
  return (
    <Dialog
      wide
      title={`${one.consumer || one.stream.slice(0, 8)} · ${one.model}`}
      onClose={onClose}
    >
      <p className="watch-state">
        <span className="lamp" data-state={running ? (connection?.state ?? "") : "ended"} />
        <span className="badge" data-kind={running ? "good" : "plain"} data-status={status}>
          {running ? said.writing : status === "stopped" ? words.stopped : words.announceEnd}
        </span>
        <code className="text-soft">{stream}</code>
      </p>
      <div
        ref={place}
        className="watched"
        role="log"
        aria-live="off"
        aria-label={words.answer}
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}
      >
        {reasoning && (
          <details className="reasoning">
            <summary>{words.reasoning}</summary>
            <div dir="auto">{reasoning}</div>
          </details>
        )}
        {text ? (
          <Markdown text={text} open={running} sources={0} />
        ) : (
          running && <p className="text-soft">{answer?.thinking?.message || said.watchWaits}</p>
        )}
        {error && <Problem error={error} />}
      </div>
      <footer className="flex flex-wrap items-center gap-2">
        <p className="text-sm text-soft flex-1">{said.watchHint}</p>
        <button type="button" className="button danger" disabled={!running} onClick={onStop}>
          {said.stop}
        </button>
      </footer>
    </Dialog>
  );
}
