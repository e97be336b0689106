import type { Source } from "@fairlead/client";
import type { ChatMessage } from "@fairlead/client/react";
import { memo, useMemo } from "react";
import { Markdown } from "../markdown/Markdown.js";
import { useReveal } from "../lib/reveal.js";
import { CopyButton } from "../ui/CopyButton.js";
import { IconButton } from "../ui/IconButton.js";
import { StatusLine } from "../wire/StatusLine.js";
import { words } from "../words/words.js";
import { Branches } from "./Branches.js";
import { CitedContext } from "./Cite.js";
import { Media } from "./Media.js";
import { Problem } from "./Problem.js";
import { Thinking } from "./Thinking.js";

interface Props {
  message: ChatMessage;
  /** Whether nothing follows it. */
  last: boolean;
  busy: boolean;
  online: boolean;
  onSource: (source: Source, number: number) => void;
  onRegenerate: (message: ChatMessage) => void;
  onContinue: () => void;
  onChoose: (id: string) => void;
}

/** An answer as it is written, and as it was. */
export const AnswerView = memo(function AnswerView(props: Props) {
  const { message, last, busy, online, onSource, onRegenerate, onContinue, onChoose } = props;
  const { key, id, text, status, reasoning, sources, media, tools, error, siblings } = message;
  const running = status === "running";
  const shown = useReveal(text, running);
  const cited = useMemo(
    () => ({
      sources,
      open: (number: number) => {
        const source = sources[number - 1];
        if (source) onSource(source, number);
      },
    }),
    [sources, onSource],
  );
  const broken = status === "interrupted" || status === "stopped";
  return (
    <article className="answer" aria-label={words.answer} aria-busy={running} data-status={status}>
      {reasoning && (
        <details className="reasoning">
          <summary>{running && !text ? words.reasoningNow : words.reasoning}</summary>
          <div dir="auto">{reasoning}</div>
        </details>
      )}
      <CitedContext value={cited}>
        {shown && <Markdown text={shown} open={running} sources={sources.length} />}
      </CitedContext>
      {tools.length > 0 && (
        <ul className="tools">
          {tools.map((tool) => (
            <li key={tool.part}>
              <details>
                <summary>
                  {words.calls} <code>{tool.name}</code>
                </summary>
                <pre tabIndex={0}>{tool.arguments}</pre>
              </details>
            </li>
          ))}
        </ul>
      )}
      {media.map((piece, at) => (
        <Media key={at} piece={piece} />
      ))}
      {running && <Thinking message={message} online={online} />}
      {error && (
        <Problem error={error} onRetry={last && !busy ? () => onRegenerate(message) : undefined} />
      )}
      {status === "stopped" && <p className="note">{words.stopped}</p>}
      {status === "interrupted" && !error && <p className="note">{words.errors["interrupted"]}</p>}
      {status === "failed" && !error && <p className="note">{words.errors["unknown"]}</p>}
      {sources.length > 0 && (text || !running) && (
        <ol className="sources" aria-label={words.sources}>
          {sources.map((source, at) => (
            <li key={`${source.id}${at}`}>
              <button
                type="button"
                title={source.heading || source.title}
                onClick={() => onSource(source, at + 1)}
              >
                <span className="number">{at + 1}</span>
                <span className="truncate">{source.title || source.address}</span>
              </button>
            </li>
          ))}
        </ol>
      )}
      {!running && (
        <footer className="actions" data-last={last || undefined}>
          <Branches id={id} siblings={siblings} disabled={busy} onChoose={onChoose} />
          {text && <CopyButton text={text} label={words.copy} />}
          {(id || last) && (
            <IconButton
              icon="again"
              size={16}
              label={words.regenerate}
              disabled={busy}
              onClick={() => onRegenerate(message)}
            />
          )}
          {broken && last && text && (
            <button type="button" className="button small" disabled={busy} onClick={onContinue}>
              {words.continue}
            </button>
          )}
          {message.model && <span className="model">{message.model}</span>}
        </footer>
      )}
      <StatusLine meterKey={key} />
    </article>
  );
});
