import { useCallback, useEffect, useState } from "react";
import type { Look, Overview } from "@fairlead/client/admin";
import { useAdmin } from "./AdminContext.js";
import { Budgets } from "./Budgets.js";
import { number, short, time } from "./numbers.js";
import { Streams } from "./Streams.js";
import { Upstreams } from "./Upstreams.js";
import { useLook } from "./useLook.js";
import { said } from "./words.js";
import { inWords } from "../words/words.js";

/** Milliseconds between two looks. */
const EVERY = 2_000;
/** Milliseconds after the last key until a search. */
const TYPED = 200;
/** Streams that are shown at most. */
const MOST = 100;

/** What runs now: the counts, the upstreams, the budgets, the streams. */
export function Live({ onSignedOut }: { onSignedOut: () => void }) {
  const admin = useAdmin();
  const [look, setLook] = useState<Look>({ sort: "order" });
  const [paused, setPaused] = useState(false);
  const search = useSettled(look.search ?? "");
  const { state, sort, backwards } = look;
  const ask = useCallback(
    (signal: AbortSignal) =>
      admin.overview(
        { search, state: state ?? "", sort: sort ?? "order", backwards: !!backwards, limit: MOST },
        signal,
      ),
    [admin, search, state, sort, backwards],
  );
  const { seen, error, again } = useLook<Overview>(ask, EVERY, paused);
  const gone = error !== null && ["not_found", "unauthenticated", "revoked"].includes(error.code);
  useEffect(() => {
    if (gone) onSignedOut();
  }, [gone, onSignedOut]);
  const readers = Object.values(seen?.readers ?? {}).reduce((sum, n) => sum + n, 0);

  return (
    <>
      <div className="live-bar">
        <dl className="tiles" aria-busy={!seen}>
          <Tile name={said.writing} value={seen && number(seen.writing)} />
          <Tile name={said.queued} value={seen && number(seen.queued)} warm={!!seen?.queued} />
          <Tile name={said.readers} value={seen && number(readers)} />
          <Tile name={said.rate} value={seen && number(seen.rate)} />
        </dl>
        <p className="live-state">
          <span className="lamp" data-state={error ? "waiting" : paused ? "ended" : "open"} />
          <span>{paused ? said.paused : seen ? said.updated(time(seen.at)) : ""}</span>
          {seen && seen.nodes.length < 2 && (
            <span className="truncate">{said.node(short(seen.node))}</span>
          )}
          <button type="button" className="button small" onClick={() => setPaused(!paused)}>
            {paused ? said.goOn : said.pause}
          </button>
        </p>
      </div>
      {seen && seen.nodes.length > 1 && (
        <p className="nodes">
          <strong>{said.nodeOf(short(seen.node), seen.nodes.length)}</strong>{" "}
          <span className="text-soft">{said.nodeHint}</span>
        </p>
      )}
      {error && !gone && (
        <p className="banner rounded-xl" role="status">
          {error.code === "unreachable" ? said.lost : inWords(error).text}
        </p>
      )}
      {seen?.draining && (
        <p className="banner rounded-xl" role="status">
          {said.draining}
        </p>
      )}
      <Streams seen={seen} look={look} onLook={setLook} onChanged={again} />
      <div className="beside">
        <Upstreams seen={seen} />
        <Budgets paused={paused} />
      </div>
    </>
  );
}

function Tile({ name, value, warm }: { name: string; value: string | null; warm?: boolean }) {
  return (
    <div className="tile" data-warm={warm || undefined}>
      <dt>{name}</dt>
      <dd>{value ?? "–"}</dd>
    </div>
  );
}

/** A text once it has not changed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPED);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
