import type { AnswerEvent, ConnectionState } from "@fairlead/client";
import { expect, test } from "vitest";
import {
  ahead,
  behind,
  figures,
  gaps,
  healings,
  quantile,
  spread,
  type Figures,
  type Measured,
} from "../src/lab/figures.js";
import { toCsv, toJson } from "../src/lab/report.js";
import { conclusions, milliseconds } from "../src/lab/said.js";
import { framed } from "../src/lab/tally.js";
import { Track, type Compared } from "../src/lab/track.js";

const event = (type: "token" | "thinking", position: string, token = "x"): AnswerEvent =>
  ({ type, stream: "s", position, data: { token } }) as unknown as AnswerEvent;
const connecting: ConnectionState = { state: "connecting", transport: "sse" };

const measured = (
  transport: Compared,
  times: Record<string, number>,
  more: Partial<Measured> = {},
): Measured => ({
  ...{ transport, firstEvent: 1, firstToken: 2, cuts: [], bytes: 10, transferred: null },
  ...{ requests: 1, setups: [] },
  arrivals: Object.entries(times).map(([position, at]) => ({ at, position, characters: 3 })),
  ...more,
});

test("a track keeps what came and when", () => {
  const track = new Track("sse");
  track.connection(connecting);
  track.event(event("thinking", "p0"), 5);
  track.event(event("token", "p1", "Hi "), 20);
  track.event(event("token", "p2", "you"), 30);
  expect(track).toMatchObject({
    ...{ firstEvent: 5, firstToken: 20, text: "Hi you", events: 3, repeated: 0 },
    arrivals: [
      { at: 20, position: "p1", characters: 3 },
      { at: 30, position: "p2", characters: 3 },
    ],
  });
  track.event(event("token", "p2", "you"), 40);
  expect(track.repeated).toBe(1);
});

test("a cut has healed with the first event of a connection that was made after it", () => {
  const track = new Track("sse");
  track.connection(connecting);
  track.event(event("token", "p1"), 10);
  track.cut(20);
  track.event(event("token", "p2"), 21); // had come before
  expect(track.cuts).toEqual([{ at: 20, healed: null }]);
  track.connection(connecting);
  track.cut(25); // and again, before anything came
  track.connection(connecting);
  track.event(event("token", "p3"), 50);
  expect(track.cuts).toEqual([
    { at: 20, healed: 50 },
    { at: 25, healed: 50 },
  ]);
  expect(healings([...track.cuts, { at: 60, healed: null }])).toEqual([30, 25]);
});

test("quantiles and gaps", () => {
  expect(quantile([], 0.5)).toBeNull();
  expect(quantile([5, 1, 3], 0.5)).toBe(3);
  expect(quantile([1, 2, 3, 4], 0.95)).toBe(4);
  expect(gaps(measured("sse", { a: 1, b: 4, c: 10 }).arrivals)).toEqual([3, 6]);
});

test("each text is compared with the line that had it first; several at once count as the last", () => {
  const sse = measured("sse", { p1: 10, p2: 20, p3: 30 });
  const poll = measured("poll", { p2: 25, p3: 29 });
  expect(behind(sse, [sse, poll])).toEqual([0, 0, 1]);
  expect(behind(poll, [sse, poll])).toEqual([15, 5, 0]);
});

test("what came while a line was cut compares nothing", () => {
  const sse = measured("sse", { p1: 10, p2: 80, p3: 90 }, { cuts: [{ at: 15, healed: 80 }] });
  const socket = measured("websocket", { p1: 11, p2: 20, p3: 91 });
  expect(behind(sse, [sse, socket])).toEqual([0, 0]);
  expect(behind(socket, [sse, socket])).toEqual([1, 1]);
});

test("figures sum a line up, and say where there is nothing to sum up", () => {
  const one = measured("sse", { p1: 10, p2: 20, p3: 50 }, { setups: [3, 1, 2] });
  expect(figures(one, [one])).toEqual({
    ...{ transport: "sse", setup: 2, firstToken: 2, bytes: 10, transferred: null, requests: 1 },
    gap: { median: 30, p95: 30, longest: 30 },
    behind: { median: 0, p95: 0 },
    ...{ reconnect: null, cuts: 0 },
  });
  const none = measured("poll", {});
  expect(figures(none, [one, none])).toMatchObject({ gap: null, behind: null, setup: null });
});

test("shares of values rise to all of them", () => {
  expect(spread([4, 1, 1, 2])).toEqual([
    [1, 2, 4],
    [50, 75, 100],
  ]);
  expect(spread([])).toEqual([[], []]);
});

const told = (transport: Compared, median: number, setup: number | null = 4) =>
  ({ transport, setup, requests: 9, behind: { median, p95: median } }) as Figures;

test("SSE or WebSocket: what nobody can see is no difference", () => {
  expect(ahead([told("sse", 1), told("websocket", 9)])).toEqual({ first: null, by: 8 });
  expect(ahead([told("sse", 1), told("websocket", 41)])).toEqual({ first: "sse", by: 40 });
  expect(ahead([told("sse", 41), told("websocket", 1)])).toEqual({ first: "websocket", by: 40 });
  expect(ahead([told("sse", 1)])).toBeNull();
});

test("that is said in sentences", () => {
  const said = conclusions([told("sse", 0), told("websocket", 40), told("poll", 60)], 2);
  expect(said).toHaveLength(3);
  expect(said[0]).toContain("SSE had the text before WebSocket");
  expect(said[0]).toContain("40 ms");
  expect(conclusions([told("sse", 0, null), told("websocket", 0)], 2)).toHaveLength(1);
  expect([0.44, 12.6, 1234, 45_000].map(milliseconds)).toEqual([
    "0.4 ms",
    "13 ms",
    "1.2 s",
    "45 s",
  ]);
});

test("frames of a WebSocket have a head", () => {
  expect([0, 125, 126, 65_535, 65_536].map((size) => framed(size) - size)).toEqual([
    2, 2, 4, 4, 10,
  ]);
});

test("a report has a row for each arrival, cut and healing", () => {
  const cuts = [
    { at: 15, healed: 20 },
    { at: 40, healed: null },
  ];
  const one = measured("sse", { p1: 10, p2: 20.5 }, { cuts });
  const lines = [{ ...one, figures: figures(one, [one]), exact: true }];
  expect(toCsv({ lines }).split("\r\n")).toEqual([
    "transport,event,at_ms,gap_ms,characters,position",
    "sse,text,10.000,,3,p1",
    "sse,cut,15.000,,,",
    "sse,healed,20.000,,,",
    "sse,text,20.500,10.500,3,p2",
    "sse,cut,40.000,,,",
    "",
  ]);
  const json = toJson({
    ...{ what: "", when: "", browser: "", http: "", question: "", plain: [1.23456] },
    ...{ server: { version: "", protocol: "", model: "" }, lines },
  });
  expect(JSON.parse(json)).toMatchObject({ plain: [1.235], lines: [{ exact: true }] });
});
