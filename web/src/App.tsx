import { FairleadError, type Info, type Me } from "@fairlead/client";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { Chat } from "./chat/Chat.js";
import { Problem } from "./chat/Problem.js";
import { forgetFiles } from "./lib/attached.js";
import * as kept from "./lib/kept.js";
import { useRoute } from "./lib/route.js";
import { begin, keep, SessionContext } from "./lib/session.js";
import { SignIn } from "./SignIn.js";
import { words } from "./words/words.js";

// What few people come for is fetched when they do.
const Lab = lazy(() => import("./lab/Lab.js").then(({ Lab }) => ({ default: Lab })));
const Operator = lazy(() =>
  import("./operator/Operator.js").then(({ Operator }) => ({ default: Operator })),
);

/** What the server said when the page opened. */
type Door =
  | { state: "asking" }
  | { state: "closed"; login: string | null; refused: boolean }
  /** `again`: the sign-in has ended; what is being typed waits for the next one. */
  | { state: "open"; info: Info; me: Me; again?: { login: string | null; refused: boolean } }
  | { state: "failed"; error: FairleadError };

/** The page: who one is, and then where one is. */
export function App() {
  const [session, setSession] = useState(begin);
  const [door, setDoor] = useState<Door>({ state: "asking" });
  const route = useRoute();

  const knock = useCallback(async () => {
    try {
      const me = await session.server.me();
      if (me.consumer === null) {
        close(me.login, false);
      } else {
        const info = await session.server.info();
        // What somebody else typed is nobody's to see.
        const who = me.by === "anonymous" ? "" : me.consumer;
        if (!kept.belongTo(who)) await forgetFiles();
        setDoor({ state: "open", info, me });
      }
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      if (error.code !== "unauthenticated" && error.code !== "revoked") {
        setDoor({ state: "failed", error });
        return;
      }
      // A credential that is no good any more: what is asked without it says where to get another.
      keep("");
      const fresh = begin();
      const me = await fresh.server.me().catch(() => null);
      close(me?.login ?? null, true);
    }

    function close(login: string | null, refused: boolean): void {
      setDoor((before) =>
        before.state === "open"
          ? { ...before, again: { login, refused } }
          : { state: "closed", login, refused },
      );
    }
  }, [session]);
  const lookAgain = useCallback(() => void knock(), [knock]);
  useEffect(() => {
    void knock();
  }, [knock]);

  const use = (key: string) => {
    keep(key);
    if (door.state !== "open") setDoor({ state: "asking" });
    setSession(begin());
  };
  const leave = async () => {
    const { location: elsewhere } = await session.server.logout().catch(() => ({ location: null }));
    keep("");
    kept.forgetAll();
    await forgetFiles();
    if (elsewhere) location.assign(elsewhere);
    else location.reload();
  };

  if (door.state === "asking") return <Loading />;
  if (door.state === "closed") {
    return <SignIn {...door} operator={route.page === "operator"} onKey={use} />;
  }
  if (door.state === "failed") {
    return (
      <main className="mx-auto grid min-h-dvh max-w-md content-center p-6">
        <Problem error={door.error} onRetry={lookAgain} />
      </main>
    );
  }
  const { info, me, again } = door;
  return (
    <SessionContext value={session}>
      {again && <SignIn {...again} operator={route.page === "operator"} onKey={use} />}
      <div hidden={!!again}>
        {route.page === "chat" ? (
          <Chat
            key={me.consumer}
            info={info}
            me={me}
            conversation={route.conversation}
            onSignOut={() => void leave()}
            onSignedOut={lookAgain}
          />
        ) : (
          <Suspense fallback={<Loading />}>
            {route.page === "lab" ? (
              <Lab info={info} me={me} />
            ) : (
              <Operator
                info={info}
                me={me}
                onKey={use}
                onSignOut={() => void leave()}
                onSignedOut={lookAgain}
              />
            )}
          </Suspense>
        )}
      </div>
    </SessionContext>
  );
}

function Loading() {
  return (
    <main className="grid min-h-dvh place-items-center" aria-busy="true">
      <p className="appear-late text-soft">{words.loading}</p>
    </main>
  );
}
