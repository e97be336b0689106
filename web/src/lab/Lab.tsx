import type { Info, Me } from "@fairlead/client";
import { useEffect, useRef, useState, useSyncExternalStore, type FormEvent } from "react";
import { ModelPicker } from "../chat/ModelPicker.js";
import { Problem } from "../chat/Problem.js";
import { useSession } from "../lib/session.js";
import { Icon } from "../ui/icons.js";
import { PageFrame } from "../ui/PageFrame.js";
import { labWords } from "../words/lab.js";
import { words } from "../words/words.js";
import { LaneView } from "./LaneView.js";
import { Results } from "./Results.js";
import { Run } from "./run.js";
import { COMPARED } from "./track.js";
import "./lab.css";

/** One question over all transports, side by side. */
export function Lab({ info, me }: { info: Info; me: Me }) {
  const session = useSession();
  const [question, setQuestion] = useState(labWords.usual);
  const [model, setModel] = useState("");
  const [run, setRun] = useState<Run | null>(null);
  const [running, setRunning] = useState(false);
  const current = useRef<Run | null>(null);

  useEffect(() => {
    document.title = `${words.page.lab} – ${words.appName}`;
    return () => void current.current?.leave();
  }, []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (running || !question.trim()) return;
    const transports = COMPARED.filter((name) => info.transports.includes(name));
    const next = new Run(session, { question, model, transports });
    current.current = next;
    setRun(next);
    setRunning(true);
    await next.go();
    setRunning(false);
  };

  return (
    <PageFrame page="lab" me={me}>
      <main className="page-main">
        <div className="lab" data-run={run ? "" : undefined}>
          <header>
            <h1>{labWords.title}</h1>
            <p className="text-soft">{labWords.intro}</p>
          </header>
          <form className="lab-form" onSubmit={(event) => void submit(event)}>
            <input
              className="field"
              dir="auto"
              value={question}
              aria-label={labWords.question}
              maxLength={4000}
              onChange={(event) => setQuestion(event.target.value)}
            />
            <ModelPicker model={model} onModel={setModel} />
            <button type="submit" className="button primary" disabled={running || !question.trim()}>
              {run ? labWords.again : labWords.run}
            </button>
          </form>
          {run && <RunView key={run.began.getTime()} run={run} info={info} />}
          <section className="meanings">
            <h2>{labWords.means}</h2>
            <ul>
              {labWords.meanings.map((meaning) => (
                <li key={meaning}>{meaning}</li>
              ))}
            </ul>
          </section>
        </div>
      </main>
    </PageFrame>
  );
}

function RunView({ run, info }: { run: Run; info: Info }) {
  useSyncExternalStore(run.subscribe, run.version);
  const { state, lanes, error } = run;
  const reading = state === "reading";
  const began = lanes.some(({ track }) => track.events > 0);
  return (
    <>
      {error && <Problem error={error} />}
      <div className="lab-bar">
        <p role="status">{said(run)}</p>
        {reading && (
          <>
            <button
              type="button"
              className="button"
              title={labWords.cutHint}
              onClick={() => run.cut()}
            >
              <Icon name="cut" size={15} /> {labWords.cut}
            </button>
            <button type="button" className="button" onClick={() => run.stop()}>
              {labWords.stop}
            </button>
          </>
        )}
      </div>
      {(!error || began) && (
        <div className="lanes" data-state={state}>
          {lanes.map((lane) => (
            <LaneView key={lane.track.transport} lane={lane} />
          ))}
        </div>
      )}
      {reading && run.protocol === "http/1.1" && <p className="note">{labWords.few}</p>}
      {state === "ended" && !error && <Results run={run} info={info} />}
    </>
  );
}

/** How far it is, or whether anything was lost on the way. */
function said({ state, error, lanes }: Run): string {
  if (state === "asking") return labWords.asking;
  if (state === "reading") return labWords.reading;
  if (state === "opening") return labWords.opening;
  if (error) return "";
  const cuts = Math.max(...lanes.map(({ track }) => track.cuts.length));
  const exact = lanes.every(({ exact }) => exact);
  return exact ? labWords.nothingLost(lanes.length, cuts) : labWords.somethingLost;
}
