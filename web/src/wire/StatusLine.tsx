import { memo, useSyncExternalStore } from "react";
import { useSession } from "../lib/session.js";
import { language, words } from "../words/words.js";
import type { Reading } from "./meter.js";

const small = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const large = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const number = (value: number) => (value < 10 ? small : large).format(value);
const time = (milliseconds: number) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** What the line of an answer did, in one line. */
export const StatusLine = memo(function StatusLine({ meterKey }: { meterKey: string }) {
  const { meters } = useSession();
  const reading = useSyncExternalStore(meters.subscribe, () => meters.reading(meterKey));
  if (!reading) return null;
  const { transport, state, reconnects, resumed, ended } = reading;
  return (
    <p className="wire" aria-label={words.wire}>
      <span className="lamp" data-state={ended ? "ended" : state} />
      {state === "waiting" && !ended && <span>{words.reconnecting}</span>}
      {transport && <span data-wire="transport">{words.transports[transport]}</span>}
      {numbers(reading).map((text) => (
        <span key={text}>{text}</span>
      ))}
      {reconnects > 0 && <span data-wire="reconnects">{words.reconnects(reconnects)}</span>}
      {resumed && (
        <span data-wire="resumed">
          <code>{words.resumed(resumed)}</code>
        </span>
      )}
    </p>
  );
});

function numbers({ firstToken, rate, tokens }: Reading): string[] {
  const said: string[] = [];
  if (firstToken !== null) said.push(words.firstToken(time(firstToken)));
  if (rate !== null && tokens > 1) said.push(words.tokensPerSecond(number(rate)));
  if (tokens > 0) said.push(words.tokens(number(tokens)));
  return said;
}
