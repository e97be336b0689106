import type { Info, Me } from "@fairlead/client";
import { PageFrame } from "../ui/PageFrame.js";
import { words } from "../words/words.js";

/** What runs on the server, for whoever looks after it. */
export function Operator({ me }: { info: Info; me: Me }) {
  return (
    <PageFrame page="operator" me={me}>
      <main className="page-main">
        <h1>{words.page.operator}</h1>
      </main>
    </PageFrame>
  );
}
