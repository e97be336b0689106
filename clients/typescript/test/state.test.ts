import { expect, test } from "vitest";
import { EMPTY, fold, type AnswerEvent } from "../src/index.js";
import { eventOf } from "../src/events.js";
import { delay } from "../src/waiting.js";
import { PARSER, size } from "../scripts/size.mjs";

const after = (...messages: [string, Record<string, unknown>][]) =>
  messages.reduce(
    (state, [type, data], n) => fold(state, eventOf({ type, data }, "s", `1${n}`) as AnswerEvent),
    EMPTY,
  );

test("an answer is what its events add up to", () => {
  const state = after(
    [
      "thinking",
      { status: "writing", message: "…", conversation_id: "c", message_id: "m", model: "x" },
    ],
    ["reasoning", { reasoning: "Hm. " }],
    ["token", { token: "a" }],
    ["token", { token: "no", part: 2 }],
    ["token", { tokens: ["b", "c"] }],
    ["usage", { input_tokens: 1, output_tokens: 2, estimated: true }],
    ["done", { status: "completed" }],
  );
  expect(state).toMatchObject({
    text: "abc",
    reasoning: "Hm. ",
    status: "completed",
    thinking: null,
    conversationId: "c",
    messageId: "m",
    model: "x",
    position: "16",
    error: null,
  });
});

test("a reset replaces the text", () => {
  expect(
    after(
      ["token", { token: "lost" }],
      ["reset", { reason: "r", text: "kept " }],
      ["token", { token: "on" }],
    ).text,
  ).toBe("kept on");
});

test("an interrupted answer keeps its text", () => {
  const state = after(
    ["token", { token: "half" }],
    ["error", { error: "e", code: "interrupted", retryable: true }],
  );
  expect(state).toMatchObject({ text: "half", status: "interrupted" });
  expect(state.error?.retryable).toBe(true);
});

test("waits double up to a bound, are spread, and never sooner than asked", () => {
  expect([1, 2, 3, 9].map((failures) => delay(failures, 1000, null, 0))).toEqual([
    1000, 2000, 4000, 30_000,
  ]);
  expect(delay(1, 50_000, null, 0)).toBe(50_000);
  expect(delay(5, 1000, 70_000, 0)).toBe(70_000);
  expect(delay(1, 1000, null, 1)).toBe(1250);
  expect(delay(0, 1000, 0, 0.5)).toBe(0);
});

test("the core is at most 8 kB with the parser it depends on", async () => {
  expect(await size()).toBeLessThanOrEqual(8000);
  expect(await size("src/index.ts", [PARSER])).toBeLessThan(await size());
});
