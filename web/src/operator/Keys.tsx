import { FairleadError } from "@fairlead/client";
import type { MadeKey, StoredKey } from "@fairlead/client/admin";
import { useCallback, useState } from "react";
import { CopyButton } from "../ui/CopyButton.js";
import { Dialog } from "../ui/Dialog.js";
import { Icon } from "../ui/icons.js";
import { inWords, words } from "../words/words.js";
import { useAdmin } from "./AdminContext.js";
import { NewKeyDialog } from "./NewKeyDialog.js";
import { date } from "./numbers.js";
import { Choice } from "./Usage.js";
import { useLook } from "./useLook.js";
import { said } from "./words.js";

interface Props {
  /** Nobody needs a key so far. */
  open: boolean;
  onKey: (key: string) => void;
}

const PAGE = 50;
const OVERLAPS = ["0", "3600", "86400", "604800"] as const;

/** The API keys: made, rotated, revoked. */
export function Keys({ open, onKey }: Props) {
  const admin = useAdmin();
  const [consumer, setConsumer] = useState("");
  const [pages, setPages] = useState(1);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<MadeKey | null>(null);
  const [problem, setProblem] = useState<FairleadError | null>(null);
  const look = useCallback(
    async (signal: AbortSignal) => {
      const found: StoredKey[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < pages; page += 1) {
        const which = { limit: PAGE, cursor, ...(consumer && { consumer }) };
        const next: { keys: StoredKey[]; cursor: string | null } = await admin.keys(which, signal);
        found.push(...next.keys);
        cursor = next.cursor;
        if (!cursor) break;
      }
      return { keys: found, more: cursor !== null };
    },
    [admin, consumer, pages],
  );
  const { seen, error, again } = useLook(look, 0);

  const attempt = async (act: () => Promise<unknown>) => {
    try {
      await act();
      setProblem(null);
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      setProblem(error);
    }
    again();
  };
  const rotate = (id: string, overlap: number) =>
    void attempt(async () => setMade(await admin.rotateKey(id, overlap)));
  const revoke = (id: string) => void attempt(() => admin.revokeKey(id));
  const first = open && seen?.keys.length === 0 && !consumer;
  const failed = problem ?? (made && open ? null : error);

  return (
    <section className="panel" aria-labelledby="keys">
      <header className="panel-head">
        <h2 id="keys">{said.keys}</h2>
        <label className="search">
          <Icon name="search" size={16} />
          <span className="sr-only">{said.keysOf}</span>
          <input
            type="search"
            value={consumer}
            placeholder={said.keysOf}
            onChange={(event) => {
              setConsumer(event.target.value.trim());
              setPages(1);
            }}
          />
        </label>
        <button
          type="button"
          className="button small primary ms-auto"
          onClick={() => setMaking(true)}
        >
          {said.newKey}
        </button>
      </header>
      {failed && (
        <p role="alert" className="panel-note text-bad">
          {inWords(failed).text}
        </p>
      )}
      {!seen && !failed && <p className="panel-note text-soft">{words.loading}</p>}
      {seen?.keys.length === 0 && (
        <p className="panel-note text-soft">{consumer ? said.noKeysOf : said.noKeys}</p>
      )}
      {!!seen?.keys.length && (
        <table className="rows" aria-label={said.keys}>
          <thead>
            <tr>
              {[
                said.consumer,
                said.state,
                said.scopes,
                said.created,
                said.lastUsed,
                said.expires,
              ].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              <th scope="col">
                <span className="sr-only">{said.actions}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {seen.keys.map((key) => (
              <KeyRow key={key.id} one={key} onRotate={rotate} onRevoke={revoke} />
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
      {making && (
        <NewKeyDialog
          first={first}
          onMade={(key) => {
            setMaking(false);
            setMade(key);
            if (!open) again();
          }}
          onClose={() => setMaking(false)}
        />
      )}
      {made && (
        <Made
          made={made}
          usable={open && made.scopes.includes("admin")}
          onUse={() => {
            setMade(null);
            onKey(made.key);
          }}
          onClose={() => {
            setMade(null);
            again();
          }}
        />
      )}
    </section>
  );
}

interface RowProps {
  one: StoredKey;
  onRotate: (id: string, overlap: number) => void;
  onRevoke: (id: string) => void;
}

function KeyRow({ one, onRotate, onRevoke }: RowProps) {
  const [step, setStep] = useState<"shown" | "rotating" | "revoking">("shown");
  const [overlap, setOverlap] = useState<string>("86400");
  const { id, consumer, name, alive, revoked_at, successor } = one;
  const state = alive
    ? successor
      ? said.replaced
      : said.alive
    : revoked_at !== null
      ? said.revoked
      : said.expired;
  return (
    <tr data-key={id} data-alive={alive || undefined}>
      <th scope="row" data-label={said.consumer}>
        <span className="key-name">
          {consumer}
          <span className="text-soft">{name || id}</span>
        </span>
      </th>
      <td data-label={said.state}>
        <span className="badge" data-kind={alive ? (successor ? "warm" : "good") : "plain"}>
          {state}
        </span>
      </td>
      <td data-label={said.scopes}>
        {one.scopes.map((scope) => said.scope[scope] ?? scope).join(", ")}
        {one.quotas.length > 0 && <span className="text-soft"> · {one.quotas.join(", ")}</span>}
      </td>
      <td data-label={said.created}>{date(one.created)}</td>
      <td data-label={said.lastUsed}>
        {one.last_used === null ? said.neverUsed : date(one.last_used)}
      </td>
      <td data-label={said.expires}>
        {one.expires_at === null ? said.neverEnds : date(one.expires_at)}
      </td>
      <td className="row-buttons">
        {step === "shown" && alive && (
          <>
            {!successor && (
              <button
                type="button"
                className="button small"
                aria-label={said.rotateOf(id)}
                onClick={() => setStep("rotating")}
              >
                {said.rotate}
              </button>
            )}
            <button
              type="button"
              className="button small"
              aria-label={said.revokeOf(id)}
              onClick={() => setStep("revoking")}
            >
              {said.revoke}
            </button>
          </>
        )}
        {step === "rotating" && (
          <span role="group" aria-label={said.rotateOf(id)}>
            <span className="text-sm text-soft">{said.rotateHint}</span>
            <Choice
              label={said.rotateHint}
              value={overlap}
              choices={OVERLAPS.map((seconds) => [seconds, said.rotateTimes[seconds]])}
              onValue={setOverlap}
            />
            <button
              type="button"
              className="button small primary"
              autoFocus
              onClick={() => {
                setStep("shown");
                onRotate(id, Number(overlap));
              }}
            >
              {said.rotate}
            </button>
            <button type="button" className="button small" onClick={() => setStep("shown")}>
              {said.cancel}
            </button>
          </span>
        )}
        {step === "revoking" && (
          <span role="group" aria-label={said.revokeOf(id)}>
            <span className="text-sm text-soft">{said.revokeSure}</span>
            <button
              type="button"
              className="button small danger"
              autoFocus
              onClick={() => {
                setStep("shown");
                onRevoke(id);
              }}
            >
              {said.revoke}
            </button>
            <button type="button" className="button small" onClick={() => setStep("shown")}>
              {said.cancel}
            </button>
          </span>
        )}
      </td>
    </tr>
  );
}

interface MadeProps {
  made: MadeKey;
  /** It is the first one, and opens this page. */
  usable: boolean;
  onUse: () => void;
  onClose: () => void;
}

/** The text of a new key, this once. */
function Made({ made, usable, onUse, onClose }: MadeProps) {
  return (
    <Dialog title={said.madeKey} onClose={onClose}>
      <p>{said.madeHint}</p>
      <p className="command">
        <code tabIndex={0} data-made>
          {made.key}
        </code>
        <CopyButton text={made.key} label={words.copy} />
      </p>
      <div className="flex justify-end gap-2">
        {usable && (
          <button type="button" className="button primary" onClick={onUse}>
            {said.useHere}
          </button>
        )}
        <button type="button" className="button" onClick={onClose}>
          {said.done}
        </button>
      </div>
    </Dialog>
  );
}
