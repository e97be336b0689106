import type { BudgetStanding } from "@fairlead/client/admin";
import { useCallback } from "react";
import { inWords, span, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { amount } from "./numbers.js";
import { useLook } from "./useLook.js";
import { said } from "./words.js";

/** Milliseconds between two looks: they are counted in the store. */
const EVERY = 10_000;
/** Those who used most of a budget that are shown. */
const MOST = 8;

/** What is used of each budget, and when it refills. */
export function Budgets({ paused }: { paused: boolean }) {
  const admin = useAdmin();
  const look = useCallback((signal: AbortSignal) => admin.budgets(MOST, signal), [admin]);
  const { seen, error } = useLook<BudgetStanding[]>(look, EVERY, paused);
  return (
    <section className="panel" aria-labelledby="budgets">
      <header className="panel-head">
        <h2 id="budgets">{said.budgets}</h2>
      </header>
      {error && error.code !== "unreachable" && (
        <p className="panel-note text-bad">{inWords(error).text}</p>
      )}
      {seen?.length === 0 && <p className="panel-note text-soft">{said.noBudgets}</p>}
      {!seen && !error && <p className="panel-note text-soft">{words.loading}</p>}
      <ul className="cards">
        {seen?.map((budget) => (
          <Budget key={budget.name} budget={budget} />
        ))}
      </ul>
    </section>
  );
}

function Budget({ budget }: { budget: BudgetStanding }) {
  const { name, unit, limit, per, refills_at, keys } = budget;
  const refills = Math.max(0, refills_at - Date.now() / 1000);
  return (
    <li className="card" data-budget={name}>
      <p className="card-head">
        <strong>{name}</strong>
        <span className="text-sm text-soft">
          {said.limitPer(amount(limit, unit), said.units[unit] ?? unit, said.per[per] ?? per)}
        </span>
        <span className="ms-auto text-sm text-soft">{said.refills(span(refills))}</span>
      </p>
      {keys.length === 0 && <p className="text-sm text-soft">{said.unused}</p>}
      <ul className="bars">
        {keys.map(({ key, used, remaining }) => {
          const whose = key.replace(/^'(.*)'$/, "$1") || said.everybody;
          return (
            <li key={key} data-spent={remaining <= 0 || undefined}>
              <span className="truncate">{whose}</span>
              <progress aria-label={whose} max={limit} value={Math.min(used, limit)} />
              <span className="text-soft">
                {said.usedOf(amount(used, unit), amount(limit, unit))}
              </span>
              {remaining <= 0 && (
                <span className="badge" data-kind="bad">
                  {said.spent}
                </span>
              )}
            </li>
          );
        })}
      </ul>
    </li>
  );
}
