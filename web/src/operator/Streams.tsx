import { FairleadError } from "@fairlead/client";
import type { LiveStream, Look, Overview } from "@fairlead/client/admin";
import { useState } from "react";
import { Icon } from "../ui/icons.js";
import { inWords, span, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { count, number, short } from "./numbers.js";
import { Watch } from "./Watch.js";
import { said } from "./words.js";

interface Props {
  seen: Overview | null;
  look: Look;
  onLook: (look: Look) => void;
  /** Something was changed: what is seen is old. */
  onChanged: () => void;
}

type Sort = NonNullable<Look["sort"]>;

/** The columns, by what they are sorted by; those of numbers begin with the largest. */
const COLUMNS: readonly [Sort, string, boolean][] = [
  ["order", said.state, false],
  ["consumer", said.consumer, false],
  ["model", said.model, false],
  ["age", said.age, true],
  ["tokens", said.tokens, true],
  ["rate", said.perSecond, true],
  ["readers", said.readBy, true],
];
const STATES = ["writing", "queued", "elsewhere", "read"] as const;

/** What is written, waits and is read, to be searched, sorted, watched and stopped. */
export function Streams({ seen, look, onLook, onChanged }: Props) {
  const admin = useAdmin();
  const [watched, setWatched] = useState<LiveStream | null>(null);
  const [sure, setSure] = useState("");
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState<FairleadError | null>(null);

  const stop = async ({ stream, consumer }: LiveStream) => {
    setSure("");
    setTold("");
    try {
      await admin.stop(stream);
      setProblem(null);
      setTold(said.stopped(consumer));
      onChanged();
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      setProblem(error);
    }
  };
  const sortBy = (sort: Sort) =>
    onLook({ ...look, sort, backwards: look.sort === sort && !look.backwards });
  const direction = (sort: Sort, numbers: boolean) =>
    look.sort !== sort
      ? undefined
      : numbers !== !!look.backwards
        ? ("descending" as const)
        : ("ascending" as const);
  const streams = seen?.streams ?? [];
  const filtered = !!(look.search || look.state);

  return (
    <section className="panel" aria-labelledby="streams">
      <header className="panel-head">
        <h2 id="streams">{said.streams}</h2>
        <label className="search">
          <Icon name="search" size={16} />
          <span className="sr-only">{said.search}</span>
          <input
            type="search"
            maxLength={200}
            value={look.search ?? ""}
            placeholder={said.searchHint}
            onChange={(event) => onLook({ ...look, search: event.target.value })}
          />
        </label>
        <span className="select">
          <select
            aria-label={said.state}
            value={look.state ?? ""}
            onChange={(event) =>
              onLook({ ...look, state: event.target.value as LiveStream["state"] | "" })
            }
          >
            <option value="">{said.anyState}</option>
            {STATES.map((state) => (
              <option key={state} value={state}>
                {said.states[state]}
              </option>
            ))}
          </select>
        </span>
        {seen && seen.matching > streams.length && (
          <span className="text-sm text-soft">{said.shown(streams.length, seen.matching)}</span>
        )}
      </header>
      <p className="sr-only" role="status">
        {told}
      </p>
      {problem && (
        <p role="alert" className="panel-note text-bad">
          {inWords(problem).text}
        </p>
      )}
      {streams.length === 0 ? (
        <p className="panel-note text-soft">
          {!seen ? words.loading : filtered ? said.nothingFound : said.nothingRuns}
        </p>
      ) : (
        <table className="rows" aria-label={said.streams}>
          <thead>
            <tr>
              {COLUMNS.map(([sort, name, numbers]) => (
                <th
                  key={sort}
                  scope="col"
                  className={numbers ? "number-cell" : undefined}
                  aria-sort={direction(sort, numbers)}
                >
                  <button type="button" onClick={() => sortBy(sort)}>
                    {name}
                    <span aria-hidden="true" className="arrow" />
                  </button>
                </th>
              ))}
              <th scope="col">
                <span className="sr-only">{said.actions}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {streams.map((one) => (
              <tr key={one.stream} data-state={one.state}>
                <td data-label={said.state}>
                  <span className="badge" data-kind={KIND[one.state]}>
                    {one.state === "queued" ? said.place(one.place) : said.states[one.state]}
                  </span>
                  {one.node && (
                    <span className="of-node" title={one.node}>
                      {said.node(short(one.node))}
                    </span>
                  )}
                </td>
                <td data-label={said.consumer} title={one.conversation}>
                  {one.consumer || "–"}
                </td>
                <td data-label={said.model} title={one.provider}>
                  {one.model || "–"}
                </td>
                <td data-label={said.age} className="number-cell">
                  {one.age === null ? "–" : span(one.age)}
                </td>
                <td data-label={said.tokens} className="number-cell">
                  {one.state === "elsewhere" || one.state === "read" ? "–" : count(one.tokens)}
                </td>
                <td data-label={said.perSecond} className="number-cell">
                  {one.state === "writing" ? number(one.rate) : "–"}
                </td>
                <td data-label={said.readBy} className="number-cell">
                  <Readers readers={one.readers} />
                </td>
                <td className="row-buttons">
                  {sure === one.stream ? (
                    <span role="group" aria-label={said.stopSure}>
                      <span className="text-sm text-soft">{said.stopSure}</span>
                      <button
                        type="button"
                        className="button small danger"
                        autoFocus
                        onClick={() => void stop(one)}
                      >
                        {said.stop}
                      </button>
                      <button type="button" className="button small" onClick={() => setSure("")}>
                        {said.cancel}
                      </button>
                    </span>
                  ) : (
                    <>
                      <button
                        type="button"
                        className="button small"
                        aria-label={said.watchOf(one.consumer)}
                        onClick={() => setWatched(one)}
                      >
                        {said.watch}
                      </button>
                      {one.state !== "read" && (
                        <button
                          type="button"
                          className="button small"
                          aria-label={said.stopOf(one.consumer)}
                          onClick={() => setSure(one.stream)}
                        >
                          {said.stop}
                        </button>
                      )}
                    </>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {watched && (
        <Watch
          one={streams.find(({ stream }) => stream === watched.stream) ?? watched}
          onStop={() => void stop(watched)}
          onClose={() => setWatched(null)}
        />
      )}
    </section>
  );
}

const KIND = { writing: "good", queued: "warm", elsewhere: "plain", read: "plain" } as const;

/** How many read it, by transport. */
function Readers({ readers }: { readers: Record<string, number> }) {
  const found = Object.entries(readers);
  if (!found.length) return <span className="text-soft">{said.nobody}</span>;
  const names = words.transports as Record<string, string>;
  return (
    <span className="readers">
      {found.map(([name, n]) => (
        <span key={name}>
          {names[name] ?? name} {n}
        </span>
      ))}
    </span>
  );
}
