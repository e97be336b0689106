import { Admin } from "@fairlead/client/admin";
import type { Info, Me } from "@fairlead/client";
import { useEffect, useMemo, useSyncExternalStore } from "react";
import { access, keepsKey, useSession } from "../lib/session.js";
import { PageFrame } from "../ui/PageFrame.js";
import { words } from "../words/words.js";
import { AdminContext } from "./AdminContext.js";
import { Audit } from "./Audit.js";
import { Keys } from "./Keys.js";
import { Live } from "./Live.js";
import { NotHere } from "./NotHere.js";
import { Usage } from "./Usage.js";
import { said } from "./words.js";
import "./operator.css";

interface Props {
  info: Info;
  me: Me;
  /** Use another API key from now on. */
  onKey: (key: string) => void;
  onSignOut: () => void;
  /** Who is asking may not oversee any more, or is not known any more. */
  onSignedOut: () => void;
}

const SECTIONS = ["live", "usage", "keys", "audit"] as const;
type Section = (typeof SECTIONS)[number];

/** What runs on the server, for whoever looks after it. */
export function Operator({ me, onKey, onSignOut, onSignedOut }: Props) {
  const session = useSession();
  // Another session may have another credential.
  const admin = useMemo(() => new Admin(access()), [session]);
  const section = useSection();
  useEffect(() => {
    document.title = `${said.title} – ${words.appName}`;
  }, []);
  const may = me.scopes?.includes("admin") ?? false;
  return (
    <PageFrame page="operator" me={me}>
      <main className="page-main operator">
        <div className="operator-column">
          <header className="operator-head">
            <h1>{may ? said.title : said.notHere}</h1>
            {may && (
              <nav className="tabs" aria-label={said.sectionList}>
                {SECTIONS.map((name) => (
                  <a
                    key={name}
                    href={`#/operator/${name}`}
                    aria-current={name === section ? "true" : undefined}
                  >
                    {said.sections[name]}
                  </a>
                ))}
              </nav>
            )}
            {me.by !== "anonymous" && (me.login || keepsKey()) && (
              <span className="operator-me">
                <span className="truncate text-soft">{me.consumer}</span>
                <button type="button" className="button small" onClick={onSignOut}>
                  {words.signOut}
                </button>
              </span>
            )}
          </header>
          {may ? (
            <AdminContext value={admin}>
              {section === "live" && <Live onSignedOut={onSignedOut} />}
              {section === "usage" && <Usage />}
              {section === "keys" && <Keys open={me.by === "anonymous"} onKey={onKey} />}
              {section === "audit" && <Audit />}
            </AdminContext>
          ) : (
            <NotHere me={me} onKey={onKey} />
          )}
        </div>
      </main>
    </PageFrame>
  );
}

const subscribe = (changed: () => void) => {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
};

/** The part of the page that the address's fragment names. */
function useSection(): Section {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  const second = hash.split("/")[2] ?? "";
  return SECTIONS.find((name) => name === second) ?? "live";
}
