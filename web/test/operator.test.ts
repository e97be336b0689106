import type { UsageRow } from "@fairlead/client/admin";
import type { ChatMessage } from "@fairlead/client/react";
import { expect, test } from "vitest";
import { asMarkdown, fileName } from "../src/lib/export.js";
import { lastDays, perDay, summed } from "../src/operator/days.js";
import { en as operatorEn, zh as operatorZh } from "../src/operator/words.js";
import { en } from "../src/words/en.js";
import { inWords } from "../src/words/words.js";

const row = (
  day: string,
  input: number,
  output: number,
  more: Partial<UsageRow> = {},
): UsageRow => ({
  day,
  consumer: "",
  model: "",
  requests: 1,
  input_tokens: input,
  output_tokens: output,
  cached_tokens: 0,
  estimated: 0,
  ...more,
});

test("days are UTC, and those without usage are there", () => {
  const days = lastDays(3, new Date("2026-03-01T00:30:00Z"));
  expect(days).toEqual(["2026-02-27", "2026-02-28", "2026-03-01"]);
  const rows = [row("2026-02-28", 3, 4), row("2026-02-28", 1, 1), row("2020-01-01", 9, 9)];
  expect(perDay(days, rows)).toEqual([
    { input: 0, output: 0 },
    { input: 4, output: 5 },
    { input: 0, output: 0 },
  ]);
});

test("money is added up by its currency", () => {
  const total = summed([
    row("d", 1, 2, { money: 0.5, currency: "USD" }),
    row("d", 1, 2, { money: 0.25, currency: "USD" }),
    row("d", 1, 2, { money: 3, currency: "CNY" }),
    row("d", 1, 2),
  ]);
  expect(total).toEqual({
    requests: 4,
    input_tokens: 4,
    output_tokens: 8,
    money: { USD: 0.75, CNY: 3 },
  });
});

test("the operator's page says the same in both languages", () => {
  const shape = (value: unknown): unknown =>
    typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shape(each)]))
      : typeof value;
  expect(shape(operatorZh)).toEqual(shape(operatorEn));
});

const message = (more: Partial<ChatMessage>): ChatMessage =>
  ({ sources: [], attachments: [], model: "", text: "", ...more }) as unknown as ChatMessage;

test("a conversation is saved as Markdown, with what came along and its sources", () => {
  const text = asMarkdown(
    "Lights",
    [
      message({
        role: "user",
        text: "Who built it?\n",
        attachments: [{ attachment_id: "a", type: "text/plain", size: 1, name: "notes.txt" }],
      }),
      message({
        role: "assistant",
        text: "Marit Lund [1].",
        model: "m-1",
        sources: [
          { id: "1", title: "Skarvoy", address: "file:skarvoy.md" },
          { id: "2", title: "", address: "file:b.md" },
        ] as unknown as ChatMessage["sources"],
      }),
    ],
    en,
  );
  expect(text).toBe(
    "# Lights\n\n## You\n\n- notes.txt\n\nWho built it?\n\n## Answer (m-1)\n\nMarit Lund [1].\n\n" +
      "Sources:\n\n1. Skarvoy <file:skarvoy.md>\n2. file:b.md\n",
  );
});

test("a file has a name that every system takes", () => {
  expect(fileName("What is a/b: <c>?\n", en)).toBe("What is a b c.md");
  expect(fileName("..", en)).toBe("Untitled.md");
  expect(fileName("导".repeat(200), en)).toBe(`${"导".repeat(80)}.md`);
});

test("a dialogue that is too long for the model is told apart from other refusals", () => {
  const error = { code: "upstream_rejected", retryAfter: null, budget: "" };
  const message = "the dialogue is too long for 'up': maximum context length is 4096";
  expect(inWords({ ...error, message }, en).text).toBe(en.dialogueTooLong);
  expect(inWords({ ...error, message: "no" }, en).text).toBe(en.errors["upstream_rejected"]);
});
