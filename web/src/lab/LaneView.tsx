import { useLayoutEffect, useRef } from "react";
import { labWords } from "../words/lab.js";
import { bytes, language, words } from "../words/words.js";
import type { Lane } from "./run.js";
import { milliseconds } from "./said.js";

/** One line: its text as it comes, and how it does. */
export function LaneView({ lane }: { lane: Lane }) {
  const { track, tally, exact } = lane;
  const { transport, text, cuts, problem } = track;
  const name = words.transports[transport];
  const shown = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = shown.current!;
    element.scrollTop = element.scrollHeight;
  }, [text.length]);
  const cut = cuts.at(-1);
  // One poll after the other is no break.
  const flows = track.state !== "ended" && track.firstEvent !== null && cut?.healed !== null;
  const state = flows ? "open" : track.state;
  return (
    <article className="lane" data-transport={transport} data-state={state}>
      <header>
        <span className="lab-swatch" aria-hidden="true" />
        <h3>{name}</h3>
        <span className="lamp" data-state={state} />
      </header>
      <p className="lane-figures">
        {track.firstToken !== null && (
          <span>{words.firstToken(milliseconds(track.firstToken))}</span>
        )}
        <span>{labWords.characters(text.length.toLocaleString(language))}</span>
        <span>{bytes(tally.bytes)}</span>
      </p>
      <div
        ref={shown}
        className="lane-text"
        role="region"
        aria-label={labWords.line(name)}
        tabIndex={0}
        dir="auto"
      >
        {text || <span className="text-soft">{labWords.waiting}</span>}
      </div>
      <p className="lane-end" data-exact={exact ?? undefined}>
        {problem && <span>{problem}</span>}
        {cut && (
          <span data-healed={cut.healed !== null || undefined}>
            {cut.healed === null
              ? labWords.cutNow
              : labWords.healed(milliseconds(cut.healed - cut.at))}
          </span>
        )}
        {exact !== null && <span>{exact ? labWords.same : labWords.other}</span>}
      </p>
    </article>
  );
}
