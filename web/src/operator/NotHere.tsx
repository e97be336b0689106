import type { Me } from "@fairlead/client";
import { CopyButton } from "../ui/CopyButton.js";
import { KeyForm } from "../SignIn.js";
import { words } from "../words/words.js";
import { said } from "./words.js";

const LINE = "fairlead keys create operator --scopes admin";

/** For those who may not oversee: why, and what they can do about it. */
export function NotHere({ me, onKey }: { me: Me; onKey: (key: string) => void }) {
  const open = me.by === "anonymous";
  const own = `http://127.0.0.1${location.port && `:${location.port}`}${location.pathname}#/operator`;
  return (
    <section className="not-here">
      {open ? (
        <>
          <p>{said.notHereName}</p>
          <p>
            <a href={own}>{own}</a>
          </p>
        </>
      ) : (
        <p>{said.notHereScope(me.consumer ?? "")}</p>
      )}
      <p>{said.notHereKey}</p>
      <p className="command">
        <code tabIndex={0}>{LINE}</code>
        <CopyButton text={LINE} label={words.copy} />
      </p>
      {open && <p className="text-soft">{said.notHereFirst}</p>}
      {!open && (
        <>
          <p>{said.notHereUse}</p>
          <KeyForm refused={false} autoFocus={false} onKey={onKey} />
        </>
      )}
    </section>
  );
}
