import { FairleadError } from "@fairlead/client";
import type { MadeKey } from "@fairlead/client/admin";
import { useState, type FormEvent } from "react";
import { Dialog } from "../ui/Dialog.js";
import { inWords, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { said } from "./words.js";

interface Props {
  /** So far nobody needs one. */
  first: boolean;
  onMade: (key: MadeKey) => void;
  onClose: () => void;
}

const SCOPES = ["ask", "read", "admin"] as const;
const DAY = 86_400;
/** In days; 0: it does not end. */
const LIVES = [0, 30, 90, 365] as const;

/** An API key to be made. */
export function NewKeyDialog({ first, onMade, onClose }: Props) {
  const admin = useAdmin();
  const [consumer, setConsumer] = useState("");
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly string[]>(first ? SCOPES : ["ask", "read"]);
  const [quotas, setQuotas] = useState("");
  const [life, setLife] = useState(0);
  const [problem, setProblem] = useState<FairleadError | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      onMade(
        await admin.createKey({
          consumer: consumer.trim(),
          ...(name.trim() && { name: name.trim() }),
          scopes,
          quotas: quotas.split(/[\s,]+/).filter(Boolean),
          ...(life && { expires_in: life * DAY }),
        }),
      );
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      setProblem(error);
    }
  };
  const toggle = (scope: string) =>
    setScopes(SCOPES.filter((one) => (one === scope) !== scopes.includes(one)));
  return (
    <Dialog title={said.newKey} onClose={onClose}>
      <form className="grid gap-4" onSubmit={(event) => void submit(event)}>
        {first && <p className="banner rounded-xl text-start!">{said.firstKey}</p>}
        <label className="grid gap-1.5">
          <span className="text-sm font-medium">{said.consumer}</span>
          <input
            className="field"
            name="consumer"
            required
            autoFocus
            maxLength={128}
            value={consumer}
            aria-describedby="consumer-hint"
            onChange={(event) => setConsumer(event.target.value)}
          />
          <span id="consumer-hint" className="text-sm text-soft">
            {said.consumerHint}
          </span>
        </label>
        <label className="grid gap-1.5">
          <span className="text-sm font-medium">{said.name}</span>
          <input
            className="field"
            name="name"
            maxLength={200}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <fieldset className="flex flex-wrap gap-x-5 gap-y-1">
          <legend className="pb-1 text-sm font-medium">{said.scopes}</legend>
          {SCOPES.map((scope) => (
            <label key={scope} className="flex items-center gap-2">
              <input
                type="checkbox"
                name={scope}
                checked={scopes.includes(scope)}
                onChange={() => toggle(scope)}
              />
              {said.scope[scope]}
            </label>
          ))}
        </fieldset>
        <div className="grid grid-cols-2 gap-3">
          <label className="grid content-start gap-1.5">
            <span className="text-sm font-medium">{said.expiresIn}</span>
            <select
              className="field"
              name="life"
              value={life}
              onChange={(event) => setLife(Number(event.target.value))}
            >
              {LIVES.map((days) => (
                <option key={days} value={days}>
                  {days ? words.days(days) : said.neverEnds}
                </option>
              ))}
            </select>
          </label>
          <label className="grid content-start gap-1.5">
            <span className="text-sm font-medium">{said.quotas}</span>
            <input
              className="field"
              name="quotas"
              value={quotas}
              aria-describedby="quotas-hint"
              onChange={(event) => setQuotas(event.target.value)}
            />
          </label>
        </div>
        <p id="quotas-hint" className="text-sm text-soft">
          {said.quotasHint}
        </p>
        {problem && (
          <p role="alert" className="text-sm text-bad">
            {problem.code === "bad_request" ? problem.message : inWords(problem).text}
          </p>
        )}
        <div className="flex justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            {said.cancel}
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={!consumer.trim() || !scopes.length}
          >
            {said.make}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
