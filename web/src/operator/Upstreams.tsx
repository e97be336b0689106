import type { Overview, UpstreamHealth } from "@fairlead/client/admin";
import { span, words } from "../words/words.js";
import { said } from "./words.js";

/** How the upstreams stand. */
export function Upstreams({ seen }: { seen: Overview | null }) {
  return (
    <section className="panel" aria-labelledby="upstreams">
      <header className="panel-head">
        <h2 id="upstreams">{said.upstreams}</h2>
      </header>
      {!seen ? (
        <p className="panel-note text-soft">{words.loading}</p>
      ) : seen.upstreams.length === 0 ? (
        <p className="panel-note text-soft">{said.noUpstreams}</p>
      ) : (
        <ul className="cards">
          {seen.upstreams.map((one) => (
            <Upstream key={one.name} one={one} now={seen.at} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Upstream({ one, now }: { one: UpstreamHealth; now: number }) {
  const { name, models, in_flight, room, waiting, answered, failed } = one;
  const [kind, state] = standing(one);
  return (
    <li className="card" data-upstream={name}>
      <p className="card-head">
        <strong>{name}</strong>
        <span className="badge" data-kind={kind}>
          {state}
        </span>
        {one.resumes_in !== null && (
          <span className="text-sm text-soft">{said.resumes(span(one.resumes_in))}</span>
        )}
      </p>
      <p className="text-sm text-soft">{models.join(", ")}</p>
      <dl className="facts">
        <dt>{said.load}</dt>
        <dd>
          {room > 0 && <progress aria-label={said.load} max={room} value={in_flight} />}
          {said.loadOf(in_flight, room)}
          {waiting > 0 && `, ${said.waitingFor(waiting)}`}
        </dd>
        <dt>{said.total}</dt>
        <dd>
          {said.counts(answered, failed)}
          {one.rate_limited > 0 && `, ${said.limited(one.rate_limited)}`}
          {one.refused > 0 && `, ${said.refused(one.refused)}`}
        </dd>
        <dt>{said.lastFailure}</dt>
        <dd>
          {one.last_error
            ? `${said.ago(span(now - one.failed_at))}: ${words.errors[one.last_error] ?? one.last_error}`
            : said.never}
        </dd>
      </dl>
    </li>
  );
}

/** In a word, and whether that is good. */
function standing(one: UpstreamHealth): ["good" | "warm" | "bad", string] {
  // Its rest is over: the next question finds out.
  if (one.usable && one.state === "open") return ["warm", said.trial];
  if (one.usable) return ["good", said.usable];
  if (!one.well) return ["bad", said.unwell];
  if (one.state === "open") return ["bad", said.open];
  if (one.state === "half_open") return ["warm", said.halfOpen];
  if (one.room && one.in_flight >= one.room) return ["warm", said.full];
  return ["warm", said.waits];
}
