import type { Info } from "@fairlead/client";
import { useState, useSyncExternalStore } from "react";
import { choose, transport, useSession, type Transport } from "../lib/session.js";
import { Icon } from "../ui/icons.js";
import { words } from "../words/words.js";

const CHOICES = ["auto", "sse", "websocket", "poll", "ndjson", "connect"] as const;

/** Which transport answers are read over, of those that the server has, and a way to break it. */
export function WireMenu({ info }: { info: Info }) {
  const session = useSession();
  const [chosen, setChosen] = useState<Transport>(transport);
  const open = useSyncExternalStore(session.line.subscribe, () => session.line.open);
  return (
    <div className="wire-menu">
      <button
        type="button"
        className="button small cut"
        aria-label={words.cut}
        title={words.cutHint}
        disabled={open === 0}
        onClick={() => session.line.cut()}
      >
        <Icon name="cut" size={15} /> <span>{words.cut}</span>
      </button>
      <span className="select">
        <select
          value={chosen}
          title={words.transport}
          aria-label={words.transport}
          onChange={(event) => {
            const next = event.target.value as Transport;
            setChosen(next);
            choose(session, next);
          }}
        >
          {CHOICES.filter((name) => name === "auto" || info.transports.includes(name)).map(
            (name) => (
              <option key={name} value={name}>
                {words.transports[name]}
              </option>
            ),
          )}
        </select>
      </span>
    </div>
  );
}
