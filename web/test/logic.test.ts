import { beyond } from "../src/lib/attached.js";
import type { AnswerEvent, ConnectionState } from "@fairlead/client";
import { expect, test } from "vitest";
import { ageOf, byAge } from "../src/lib/ages.js";
import { after, merged, NONE, without } from "../src/lib/away.js";
import { options, USUAL } from "../src/lib/kept.js";
import { nextLength } from "../src/lib/reveal.js";
import { routeOf, toConversation } from "../src/lib/route.js";
import { nextSaid } from "../src/lib/speech.js";
import { typeOf } from "../src/lib/files.js";
import { Meter } from "../src/wire/meter.js";
import { en } from "../src/words/en.js";
import { bytes, inWords, span } from "../src/words/words.js";
import { zh } from "../src/words/zh.js";

const one = (id: string, status: "running" | "completed") => ({
  ...{ conversation_id: id, title: "", created: 0, updated: 0, leaf: null },
  status,
});

test("an answer that ends unseen is marked, until it is looked at", () => {
  const running = after(NONE, [one("a", "running"), one("b", "completed")], "a");
  expect(running).toEqual({ running: ["a"], finished: [] });
  const away = after(running, [one("a", "completed")], "b");
  expect(away).toEqual({ running: [], finished: ["a"] });
  expect(after(away, [one("a", "completed")], "a")).toEqual(NONE);
  expect(after(running, [one("a", "completed")], "a")).toEqual(NONE);
  expect(after(away, [one("a", "running")], "b")).toEqual({ running: ["a"], finished: [] });
});

test("what is gone from the list is not waited for, and not marked any more", () => {
  const known = { running: ["a"], finished: ["b"] };
  const listed = [one("c", "completed")];
  expect(after(known, listed, "")).toEqual(known);
  expect(after(known, listed, "", "newest")).toEqual({ running: [], finished: ["b"] });
  expect(after(known, listed, "", "all")).toEqual(NONE);
  expect(without(known, "a")).toEqual({ running: [], finished: ["b"] });
});

test("what another tab has marked is marked here", () => {
  const here = { running: ["a"], finished: [] };
  expect(merged(here, { running: [], finished: ["a"] })).toEqual({ running: [], finished: ["a"] });
});

test("places have addresses", () => {
  expect(routeOf("")).toEqual({ page: "chat", conversation: "" });
  expect(routeOf("#/lab")).toEqual({ page: "lab" });
  expect(routeOf("#/c/100%")).toEqual({ page: "chat", conversation: "100%" });
  expect(routeOf(toConversation("a/b c"))).toEqual({ page: "chat", conversation: "a/b c" });
});

test("a question carries what was set, and nothing else", () => {
  expect(options(USUAL)).toEqual({});
  expect(options({ model: "m", system: " Rhyme. ", temperature: 0, maxTokens: 9 })).toEqual({
    model: "m",
    system: " Rhyme. ",
    parameters: { temperature: 0, max_tokens: 9 },
  });
});

test("text flows in, never lags for long, and no character is cut", () => {
  const text = "🚢".repeat(500);
  let shown = 0;
  let frames = 0;
  while (shown < text.length) {
    shown = nextLength(text, shown);
    expect(shown % 2).toBe(0);
    frames += 1;
  }
  expect(frames).toBeLessThan(60);
  expect(nextLength("abc", 0)).toBe(1);
  // However seldom frames are drawn, it flows at the same pace.
  expect(nextLength("a".repeat(1000), 0, 10)).toBe(893);
  let length = 0;
  for (let n = 0; n < 10; n += 1) length = nextLength("a".repeat(1000), length);
  expect(Math.abs(length - 893)).toBeLessThan(10);
});

test("whole sentences are said, without marks, and not too much at once", () => {
  expect(nextSaid("Half a sen", 0)).toEqual({ words: "", said: 0 });
  expect(nextSaid("**One** [1]. Two. Thr", 0)).toEqual({ words: "One . Two.", said: 17 });
  expect(nextSaid("一句话。又一", 0)).toEqual({ words: "一句话。", said: 4 });
  const long = "Sentence. ".repeat(200);
  const next = nextSaid(long, 0);
  expect(next.words.length).toBeLessThanOrEqual(300);
  expect(next.said).toBeGreaterThan(1900);
});

test("files get the types that servers know", () => {
  const types = ["text/plain", "text/markdown", "image/png", "application/json"];
  expect(typeOf("a.md", "", types)).toBe("text/markdown");
  expect(typeOf("a.py", "text/x-python", types)).toBe("text/plain");
  expect(typeOf("Makefile", "", types)).toBe("text/plain");
  expect(typeOf("a.png", "image/png", types)).toBe("image/png");
  expect(typeOf("a.pdf", "application/pdf", types)).toBe("application/pdf");
  expect(typeOf("a.json", "application/json; charset=utf-8", types)).toBe("application/json");
});

test("errors are said in words that help, in both languages", () => {
  const error = { code: "busy", message: "as the server says", retryAfter: 7, budget: "" };
  expect(inWords(error, en)).toEqual({
    text: "The server is busy. Try again in 7 s.",
    detail: "as the server says",
  });
  const spent = { ...error, code: "budget_exhausted", budget: "daily", retryAfter: 7200 };
  expect(inWords(spent, en).text).toBe("The budget “daily” is used up. It refills in 2 h.");
  expect(inWords(spent, zh).text).toContain("daily");
  expect(inWords({ ...error, code: "new_code" }, en).text).toContain("could not be completed");
  expect(Object.keys(zh.errors)).toEqual(Object.keys(en.errors));
});

test("spans and sizes are as long as they sound", () => {
  expect([0.2, 59, 300, 7200, 200_000].map((seconds) => span(seconds, en))).toEqual([
    "1 s",
    "59 s",
    "5 min",
    "2 h",
    "2 days",
  ]);
  expect([5, 2048, 5 << 20].map(bytes)).toEqual(["5 B", "2 kB", "5 MB"]);
});

const token = (position: string): AnswerEvent => ({
  ...{ type: "token", stream: "s", position },
  data: { token: "x" },
});
const state = (state: "connecting" | "open", transport: "sse" | "poll"): ConnectionState => ({
  state,
  transport,
});
const broken: ConnectionState = { state: "waiting", transport: "sse", delay: 1, reason: null };

test("a line's numbers: first token, pace, breaks, and where it was resumed", () => {
  const meter = new Meter(1000, true);
  meter.connection(state("connecting", "sse"));
  meter.connection(state("open", "sse"));
  for (let n = 0; n <= 10; n += 1) meter.event(token(`p${n}`), 1200 + n * 100);
  expect(meter.reading).toMatchObject({ firstToken: 200, tokens: 11, rate: 10, reconnects: 0 });
  meter.connection(broken);
  meter.connection(state("connecting", "sse"));
  meter.connection(state("open", "poll"));
  expect(meter.reading).toMatchObject({ reconnects: 1, resumed: "p10", transport: "poll" });
  const usage = { input_tokens: 1, output_tokens: 50, estimated: false };
  meter.event({ type: "usage", stream: "s", position: "q", data: usage }, 6200);
  expect(meter.reading).toMatchObject({ tokens: 50, rate: 10 });
});

test("polls that end as they should are no breaks", () => {
  const meter = new Meter(0, false);
  for (let n = 0; n < 3; n += 1) {
    meter.connection(state("connecting", "poll"));
    meter.connection(state("open", "poll"));
    meter.event(token(`p${n}`), n);
  }
  expect(meter.reading).toMatchObject({ reconnects: 0, resumed: "", firstToken: null });
});

test("files that wait are kept within bounds: the oldest go", () => {
  const row = (conversation: string, at: number, size: number) => ({
    ...{ conversation, at },
    files: [{ type: "text/plain", name: "a", data: { length: size } as Uint8Array }],
  });
  const mega = 1024 * 1024;
  expect(beyond([row("a", 1, mega), row("b", 2, mega)])).toEqual([]);
  expect(beyond([row("a", 1, 30 * mega), row("b", 3, 30 * mega), row("c", 2, 30 * mega)])).toEqual([
    "a",
  ]);
  expect(beyond([row("alone", 1, 65 * mega)])).toEqual(["alone"]);
  const many = Array.from({ length: 22 }, (_, n) => row(String(n), n, 1));
  expect(beyond(many)).toEqual(["1", "0"]);
});

test("conversations stand under how long ago they went on", () => {
  const now = new Date(2026, 2, 30, 0, 30); // the day after the clocks went on, in Europe
  const at = (days: number, hours = 12) => new Date(2026, 2, 30 - days, hours).getTime();
  expect(ageOf(now.getTime() + 5000, now)).toBe("today");
  expect(ageOf(at(0, 0), now)).toBe("today");
  expect(ageOf(at(0, 0) - 1, now)).toBe("yesterday");
  expect(ageOf(at(1, 0), now)).toBe("yesterday");
  expect(ageOf(at(1, 0) - 1, now)).toBe("week");
  expect(ageOf(at(7), now)).toBe("week");
  expect(ageOf(at(8), now)).toBe("month");
  expect(ageOf(at(30), now)).toBe("month");
  expect(ageOf(at(31), now)).toBe("older");
  const listed = [at(0, 0), at(1), at(1, 3), at(40)].map((updated, n) => ({
    ...one(String(n), "completed"),
    updated: updated / 1000,
  }));
  expect(byAge(listed, now).map(({ age, of }) => [age, of.length])).toEqual([
    ["today", 1],
    ["yesterday", 2],
    ["older", 1],
  ]);
  expect(byAge([], now)).toEqual([]);
});
