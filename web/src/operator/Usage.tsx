import { FairleadError } from "@fairlead/client";
import type { UsageRow } from "@fairlead/client/admin";
import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { inWords, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { lastDays, perDay, summed } from "./days.js";
import { amount, count } from "./numbers.js";
import { useLook } from "./useLook.js";
import { said } from "./words.js";

// With what it is drawn by.
const Bars = lazy(() => import("./Bars.js").then(({ Bars }) => ({ default: Bars })));

const RANGES = [7, 31, 90] as const;
const BY = ["consumer", "model", "day"] as const;
type By = (typeof BY)[number];

/** Milliseconds between two looks. */
const EVERY = 30_000;

/** Who used how much of what, by day. */
export function Usage() {
  const admin = useAdmin();
  const [range, setRange] = useState<number>(31);
  const [by, setBy] = useState<By>("consumer");
  const [consumer, setConsumer] = useState("");
  const [problem, setProblem] = useState<FairleadError | null>(null);
  const days = useMemo(() => lastDays(range, new Date()), [range]);
  const since = days[0]!;
  const until = days.at(-1)!;
  const look = useCallback(
    async (signal: AbortSignal) => {
      const query = { since, until, ...(consumer && { consumer }) };
      const [daily, rows] = await Promise.all([
        admin.usage({ ...query, by: "day" }, signal),
        by === "day" ? null : admin.usage({ ...query, by }, signal),
      ]);
      return { daily: daily.usage, rows: rows?.usage ?? daily.usage };
    },
    [admin, since, until, consumer, by],
  );
  const { seen, error } = useLook(look, EVERY);
  const daily = useMemo(() => perDay(days, seen?.daily ?? []), [days, seen]);
  const rows = useMemo(() => {
    const found = [...(seen?.rows ?? [])];
    const size = (row: UsageRow) => row.input_tokens + row.output_tokens;
    return by === "day"
      ? found.sort((a, b) => b.day.localeCompare(a.day))
      : found.sort((a, b) => size(b) - size(a));
  }, [seen, by]);
  const total = summed(rows);
  const priced = rows.some(({ currency }) => currency);
  const failed = problem ?? error;

  const download = async () => {
    try {
      const table = await admin.usageTable({ since, until, ...(consumer && { consumer }) });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(table);
      link.download = `usage-${since}-${until}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
      setProblem(null);
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      setProblem(error);
    }
  };

  return (
    <section className="panel" aria-labelledby="usage">
      <header className="panel-head">
        <h2 id="usage">{said.usage}</h2>
        <Choice
          label={said.range}
          value={String(range)}
          choices={RANGES.map((n) => [String(n), said.days(n)])}
          onValue={(value) => setRange(Number(value))}
        />
        <Choice
          label={said.by}
          value={by}
          choices={BY.map((name) => [name, said.byName[name]])}
          onValue={(value) => setBy(value as By)}
        />
        {consumer && (
          <button type="button" className="button small" onClick={() => setConsumer("")}>
            {said.ofConsumer}: {consumer} <span aria-hidden="true">×</span>
            <span className="sr-only">{said.all}</span>
          </button>
        )}
        <button type="button" className="button small ms-auto" onClick={() => void download()}>
          {said.table}
        </button>
      </header>
      {failed && (
        <p role="alert" className="panel-note text-bad">
          {inWords(failed).text}
        </p>
      )}
      {seen && (
        <Suspense fallback={<div className="plot" aria-busy="true" />}>
          <Bars
            days={days}
            input={daily.map(({ input }) => input)}
            output={daily.map(({ output }) => output)}
            label={said.chart(count(total.input_tokens), count(total.output_tokens), range)}
          />
        </Suspense>
      )}
      {!seen && !failed && <p className="panel-note text-soft">{words.loading}</p>}
      {seen && rows.length === 0 && <p className="panel-note text-soft">{said.noUsage}</p>}
      {rows.length > 0 && (
        <table className="rows" aria-label={said.usage}>
          <thead>
            <tr>
              <th scope="col">{said.byName[by]}</th>
              <th scope="col" className="number-cell">
                {said.questions}
              </th>
              <th scope="col" className="number-cell">
                {said.input}
              </th>
              <th scope="col" className="number-cell">
                {said.output}
              </th>
              {priced && (
                <th scope="col" className="number-cell">
                  {said.money}
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row[by]} ${row.currency ?? ""}`}>
                <th scope="row" data-label={said.byName[by]}>
                  {by === "consumer" && row.consumer && !consumer ? (
                    <button
                      type="button"
                      className="link"
                      onClick={() => {
                        setConsumer(row.consumer);
                        setBy("model");
                      }}
                    >
                      {row.consumer}
                    </button>
                  ) : (
                    row[by] || said.noModel
                  )}
                </th>
                <td className="number-cell" data-label={said.questions}>
                  {count(row.requests)}
                </td>
                <td className="number-cell" data-label={said.input}>
                  {count(row.input_tokens)}
                </td>
                <td className="number-cell" data-label={said.output}>
                  {count(row.output_tokens)}
                </td>
                {priced && (
                  <td className="number-cell" data-label={said.money}>
                    {row.currency ? `${amount(row.money ?? 0, row.currency)} ${row.currency}` : "–"}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">{said.total}</th>
              <td className="number-cell" data-label={said.questions}>
                {count(total.requests)}
              </td>
              <td className="number-cell" data-label={said.input}>
                {count(total.input_tokens)}
              </td>
              <td className="number-cell" data-label={said.output}>
                {count(total.output_tokens)}
              </td>
              {priced && (
                <td className="number-cell" data-label={said.money}>
                  {Object.entries(total.money)
                    .map(([currency, sum]) => `${amount(sum, currency)} ${currency}`)
                    .join(", ")}
                </td>
              )}
            </tr>
          </tfoot>
        </table>
      )}
    </section>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  choices: readonly (readonly [string, string])[];
  onValue: (value: string) => void;
}

export function Choice({ label, value, choices, onValue }: ChoiceProps) {
  return (
    <span className="select">
      <select
        aria-label={label}
        title={label}
        value={value}
        onChange={(event) => onValue(event.target.value)}
      >
        {choices.map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </span>
  );
}
