import { FairleadError, type Info, type Me } from "@fairlead/client";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { Chat } from "./chat/Chat.js";
import { Problem } from "./chat/Problem.js";
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
  | { state: "open"; info: Info; me: Me }
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
        setDoor({ state: "closed", login: me.login, refused: false });
      } else {
        setDoor({ state: "open", info: await session.server.info(), me });
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
      setDoor({ state: "closed", login: me?.login ?? null, refused: true });
    }
  }, [session]);
  useEffect(() => {
    void knock();
  }, [knock]);

  const use = (key: string) => {
    keep(key);
    setDoor({ state: "asking" });
    setSession(begin());
  };
  const leave = async () => {
    const { location: elsewhere } = await session.server.logout().catch(() => ({ location: null }));
    keep("");
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
        <Problem error={door.error} onRetry={() => void knock()} />
      </main>
    );
  }
  return (
    <SessionContext value={session}>
      {route.page === "chat" ? (
        <Chat
          info={door.info}
          me={door.me}
          conversation={route.conversation}
          onSignOut={() => void leave()}
          onSignedOut={() => void knock()}
        />
      ) : (
        <Suspense fallback={<Loading />}>
          {route.page === "lab" ? (
            <Lab info={door.info} me={door.me} />
          ) : (
            <Operator
              info={door.info}
              me={door.me}
              onKey={use}
              onSignOut={() => void leave()}
              onSignedOut={() => void knock()}
            />
          )}
        </Suspense>
      )}
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
