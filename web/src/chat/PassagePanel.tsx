import { FairleadError, type Passage, type Source } from "@fairlead/client";
import { useEffect, useRef, useState } from "react";
import { useSession } from "../lib/session.js";
import { IconButton } from "../ui/IconButton.js";
import { inWords, words } from "../words/words.js";

/** Characters of the document that are shown around a passage. */
const AROUND = 3_000;

interface Props {
  source: Source;
  number: number;
  onClose: () => void;
}

type Found = { passage: Passage } | { error: FairleadError } | null;

/** A source: its passage, highlighted in its document. */
export function PassagePanel({ source, number, onClose }: Props) {
  const { server } = useSession();
  const [found, setFound] = useState<Found>(null);
  const mark = useRef<HTMLElement>(null);
  const panel = useRef<HTMLElement>(null);

  useEffect(() => {
    let left = false;
    setFound(null);
    server
      .passage(source.id, { around: AROUND })
      .then((passage) => !left && setFound({ passage }))
      .catch((error: unknown) => {
        if (!(error instanceof FairleadError)) throw error;
        if (!left) setFound({ error });
      });
    return () => {
      left = true;
    };
  }, [server, source.id]);
  useEffect(() => {
    void mark.current?.scrollIntoView({ block: "center" });
  }, [found]);

  // Who opened it comes back to where they were.
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    panel.current?.focus();
    return () => before?.focus();
  }, []);

  const address = /^https?:/i.test(source.address) ? source.address : "";
  return (
    <aside
      ref={panel}
      className="passage"
      tabIndex={-1}
      aria-label={words.source(number, source.title)}
    >
      <header>
        <span className="number">{number}</span>
        <div className="min-w-0">
          <h2 className="truncate font-semibold" dir="auto">
            {source.title || source.address}
          </h2>
          <p className="truncate text-sm text-soft" title={source.address}>
            {source.heading || source.address}
          </p>
        </div>
        <IconButton icon="close" label={words.close} className="ms-auto" onClick={onClose} />
      </header>
      <div className="document" tabIndex={0} role="region" aria-label={source.title}>
        {!found && <p className="appear-late text-soft">{words.loading}</p>}
        {found && "error" in found && (
          <>
            <p className="text-soft">
              {found.error.code === "not_found" ? words.passageGone : inWords(found.error).text}
            </p>
            <blockquote dir="auto">{source.snippet}</blockquote>
          </>
        )}
        {found && "passage" in found && (
          <p dir="auto">
            {found.passage.before}
            <mark ref={mark}>{found.passage.text}</mark>
            {found.passage.after}
          </p>
        )}
        {address && (
          <a href={address} target="_blank" rel="noopener noreferrer nofollow">
            {words.openSource}
          </a>
        )}
      </div>
    </aside>
  );
}
