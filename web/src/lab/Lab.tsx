import type { Info, Me } from "@fairlead/client";
import { PageFrame } from "../ui/PageFrame.js";
import { words } from "../words/words.js";

/** One question over all transports, side by side. */
export function Lab({ me }: { info: Info; me: Me }) {
  return (
    <PageFrame page="lab" me={me}>
      <main className="page-main">
        <h1>{words.page.lab}</h1>
      </main>
    </PageFrame>
  );
}
