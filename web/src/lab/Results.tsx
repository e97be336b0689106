import type { Info } from "@fairlead/client";
import { useMemo, useState, type ReactNode } from "react";
import { labWords } from "../words/lab.js";
import { bytes, words } from "../words/words.js";
import { bars, overTime, spreads } from "./drawings.js";
import type { Figures } from "./figures.js";
import { Plot } from "./Plot.js";
import { toCsv, toJson, type Report } from "./report.js";
import type { Run } from "./run.js";
import { conclusions, milliseconds } from "./said.js";

/** Pixels. */
const TALL = 240;
const LOW = 170;

/** What a run that has ended says. */
export function Results({ run, info }: { run: Run; info: Info }) {
  // It has ended: nothing of it changes any more.
  const [{ measured, figures }] = useState(() => ({
    measured: run.measured,
    figures: run.figures,
  }));
  const drawn = useMemo(
    () => ({
      overTime: overTime(measured),
      spreads: spreads(measured),
      first: bars(figures.map(({ transport, firstToken }) => [transport, firstToken])),
      setup: bars(figures.map(({ transport, setup }) => [transport, setup])),
      bytes: bars(
        figures.map((one) => [one.transport, one.bytes]),
        bytes,
      ),
      reconnect: bars(figures.map(({ transport, reconnect }) => [transport, reconnect])),
    }),
    [measured, figures],
  );
  const report = (): Report => ({
    what: "Fairlead Lab",
    when: run.began.toISOString(),
    browser: navigator.userAgent,
    server: { version: info.version, protocol: info.protocol, model: run.model },
    http: run.protocol,
    question: run.asked.question,
    plain: run.plain,
    lines: measured.map((one, at) => ({
      ...one,
      figures: figures[at]!,
      exact: run.lanes[at]!.exact,
    })),
  });
  const cuts = figures.some(({ reconnect }) => reconnect !== null);
  return (
    <section className="results" aria-labelledby="results">
      <div className="verdict">
        <h2 id="results">{labWords.verdict}</h2>
        {conclusions(figures, run.roundTrip).map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
      </div>
      <div className="plots wide">
        <Plot
          title={labWords.overTime}
          hint={labWords.overTimeHint}
          drawing={drawn.overTime}
          legend
          height={TALL}
        />
        <Plot
          title={labWords.spreadTitle}
          hint={labWords.spreadHint}
          drawing={drawn.spreads}
          legend
          height={TALL}
        />
      </div>
      <div className="plots">
        <Plot
          title={labWords.setupTitle}
          hint={labWords.setupHint}
          drawing={drawn.setup}
          height={LOW}
        />
        <Plot
          title={labWords.firstTitle}
          hint={labWords.firstHint}
          drawing={drawn.first}
          height={LOW}
        />
        <Plot
          title={labWords.bytesTitle}
          hint={labWords.bytesHint}
          drawing={drawn.bytes}
          height={LOW}
        />
        {cuts ? (
          <Plot
            title={labWords.reconnectTitle}
            hint={labWords.reconnectHint}
            drawing={drawn.reconnect}
            height={LOW}
          />
        ) : (
          <div className="lab-plot">
            <p>
              <strong>{labWords.reconnectTitle}</strong>
            </p>
            <p className="note">{labWords.noCuts}</p>
          </div>
        )}
      </div>
      <div className="figures" tabIndex={0} role="region" aria-label={labWords.results}>
        <table>
          <caption className="sr-only">{labWords.results}</caption>
          <thead>
            <tr>
              <th scope="col">{labWords.transport}</th>
              <Head name={labWords.setup} />
              <Head name={labWords.firstToken} />
              <Head name={labWords.gap} hint={labWords.gapHint} />
              <Head name={labWords.behind} hint={labWords.behindHint} />
              <Head name={labWords.bytes} />
              <Head name={labWords.transferred} />
              <Head name={labWords.requests} />
              <Head name={labWords.reconnect} />
            </tr>
          </thead>
          <tbody>
            {figures.map((one) => (
              <Row key={one.transport} figures={one} />
            ))}
          </tbody>
        </table>
      </div>
      <div className="downloads">
        {run.roundTrip !== null && (
          <p className="note">{labWords.plain(milliseconds(run.roundTrip))}</p>
        )}
        <Download name="fairlead-lab.json" type="application/json" make={() => toJson(report())}>
          {labWords.json}
        </Download>
        <Download name="fairlead-lab.csv" type="text/csv" make={() => toCsv(report())}>
          {labWords.csv}
        </Download>
      </div>
    </section>
  );
}

function Head({ name, hint }: { name: string; hint?: string }) {
  return (
    <th scope="col" className="figure">
      {name}
      {hint && <small>{hint}</small>}
    </th>
  );
}

const times = (...values: (number | null | undefined)[]) =>
  values
    .map((value) => (value === null || value === undefined ? labWords.none : milliseconds(value)))
    .join(" · ");

function Row({ figures }: { figures: Figures }) {
  const { transport, setup, firstToken, gap, behind, reconnect, requests } = figures;
  return (
    <tr data-transport={transport}>
      <th scope="row">
        <span className="lab-swatch" aria-hidden="true" /> {words.transports[transport]}
      </th>
      <td className="figure">{times(setup)}</td>
      <td className="figure">{times(firstToken)}</td>
      <td className="figure">{gap ? times(gap.median, gap.p95, gap.longest) : labWords.none}</td>
      <td className="figure">{behind ? times(behind.median, behind.p95) : labWords.none}</td>
      <td className="figure">{bytes(figures.bytes)}</td>
      <td className="figure">
        {figures.transferred === null ? labWords.none : bytes(figures.transferred)}
      </td>
      <td className="figure">{requests}</td>
      <td className="figure">{times(reconnect)}</td>
    </tr>
  );
}

interface DownloadProps {
  name: string;
  type: string;
  make: () => string;
  children: ReactNode;
}

function Download({ name, type, make, children }: DownloadProps) {
  const save = () => {
    const address = URL.createObjectURL(new Blob([make()], { type }));
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
    URL.revokeObjectURL(address);
  };
  return (
    <button type="button" className="button" onClick={save}>
      {children}
    </button>
  );
}
