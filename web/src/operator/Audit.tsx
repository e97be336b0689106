import type { AuditEntry } from "@fairlead/client/admin";
import { useCallback, useState } from "react";
import { inWords, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { date } from "./numbers.js";
import { Choice } from "./Usage.js";
import { useLook } from "./useLook.js";
import { said } from "./words.js";

const PAGE = 50;

/** Who changed what. */
export function Audit() {
  const admin = useAdmin();
  const [action, setAction] = useState("");
  const [pages, setPages] = useState(1);
  const look = useCallback(
    async (signal: AbortSignal) => {
      const found: AuditEntry[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < pages; page += 1) {
        const next: { entries: AuditEntry[]; cursor: string | null } = await admin.audit(
          { action, cursor, limit: PAGE },
          signal,
        );
        found.push(...next.entries);
        cursor = next.cursor;
        if (!cursor) break;
      }
      return { entries: found, more: cursor !== null };
    },
    [admin, action, pages],
  );
  const { seen, error, again } = useLook(look, 0);
  return (
    <section className="panel" aria-labelledby="audit">
      <header className="panel-head">
        <h2 id="audit">{said.audit}</h2>
        <Choice
          label={said.action}
          value={action}
          choices={[["", said.anyAction], ...Object.entries(said.actionsOf)]}
          onValue={(value) => {
            setAction(value);
            setPages(1);
          }}
        />
        <span className="text-sm text-soft">{said.auditHint}</span>
        <button type="button" className="button small ms-auto" onClick={again}>
          {said.refresh}
        </button>
      </header>
      {error && (
        <p role="alert" className="panel-note text-bad">
          {inWords(error).text}
        </p>
      )}
      {!seen && !error && <p className="panel-note text-soft">{words.loading}</p>}
      {seen?.entries.length === 0 && <p className="panel-note text-soft">{said.noEntries}</p>}
      {!!seen?.entries.length && (
        <table className="rows" aria-label={said.audit}>
          <thead>
            <tr>
              {[said.when, said.who, said.action, said.target, said.details].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {seen.entries.map((entry, at) => (
              <tr key={`${entry.at} ${at}`} data-action={entry.action}>
                <td data-label={said.when}>{date(entry.at)}</td>
                <td data-label={said.who} title={entry.credential}>
                  {entry.consumer || "–"}
                  {entry.address && <span className="text-soft"> · {entry.address}</span>}
                </td>
                <td data-label={said.action}>{said.actionNames[entry.action] ?? entry.action}</td>
                <td data-label={said.target}>
                  <code>{entry.target || "–"}</code>
                </td>
                <td data-label={said.details} className="text-soft">
                  {Object.entries(entry.details)
                    .filter(([, text]) => text)
                    .map(([name, text]) => `${name}: ${text}`)
                    .join(", ")}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {seen?.more && (
        <p className="panel-note">
          <button type="button" className="button small" onClick={() => setPages(pages + 1)}>
            {said.more}
          </button>
        </p>
      )}
    </section>
  );
}
