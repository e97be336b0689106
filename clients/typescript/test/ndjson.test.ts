import { expect, test } from "vitest";
import { Lines } from "../src/ndjson.js";
import {
  all,
  ANSWER,
  client,
  json,
  message,
  position,
  seen,
  serve,
  STREAM,
  TEXT,
  textOf,
} from "./support.js";

const HEAD = { "Content-Type": "application/x-ndjson", "Fairlead-Stream": STREAM };
const TYPES = ANSWER.map(([type]) => type);

const lines = (from = 0, to = ANSWER.length) =>
  ANSWER.slice(from, to)
    .map((_, index) => `${JSON.stringify(message(from + index))}\n`)
    .join("\n"); // with heartbeats

test("a question is asked, and its events are those of every transport", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(`\n${lines()}`);
  });
  const fairlead = client(url, { transport: "ndjson", apiKey: "k" });
  const events = await all(fairlead.ask("Was?", { key: "once" }));
  expect(events.map(({ type }) => type)).toEqual(TYPES);
  expect(events.map(({ position }) => position)).toEqual(ANSWER.map((_, n) => position(n)));
  expect(textOf(events)).toBe(TEXT);
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatchObject({
    ...{ method: "POST", url: "/chat/stream" },
    headers: {
      ...{ accept: "application/x-ndjson", authorization: "Bearer k", "idempotency-key": "once" },
    },
  });
});

test("a body split anywhere has the same lines", () => {
  const bytes = new TextEncoder().encode(`\n${lines()}`);
  const whole = [...new Lines().take(bytes)];
  expect(whole).toHaveLength(ANSWER.length);
  for (let at = 0; at <= bytes.length; at += 1) {
    const read = new Lines();
    const parts = [bytes.subarray(0, at), bytes.subarray(at)];
    expect(parts.flatMap((part) => [...read.take(part)])).toEqual(whole);
  }
});

test("cut anywhere, it goes on after the last whole line", async () => {
  let cuts = 0;
  const { url, asked } = await serve((asked, response) => {
    const from = seen(asked);
    const body = Buffer.from(lines(from));
    response.writeHead(200, HEAD);
    if (asked.url.startsWith("/chat") || cuts >= 40) {
      response.end(asked.method === "POST" ? lines(0, 3) : body);
      return;
    }
    cuts += 1;
    // Within a line, at its end, in the middle of the next one.
    response.write(body.subarray(0, (cuts * 4) % 130), () => response.socket?.destroy());
  });
  const fairlead = client(url, { transport: "ndjson", maxRetries: Infinity });
  const events = await all(fairlead.ask("Was?"));
  expect(events.map(({ position }) => position)).toEqual(ANSWER.map((_, n) => position(n)));
  expect(textOf(events)).toBe(TEXT);
  expect(asked.filter(({ method }) => method === "POST")).toHaveLength(1);
  expect(asked.length).toBeGreaterThan(40);
});

test("an answer that has ended is not waited for", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(204, HEAD);
    response.end();
  });
  const fairlead = client(url, { transport: "ndjson" });
  expect(await all(fairlead.attach(STREAM, { after: position(11) }))).toEqual([]);
  expect(asked.map(({ url }) => url)).toEqual([`/streams/${STREAM}?after=${position(11)}`]);
});

test("what is no line of JSON, and one without an end, is not understood", async () => {
  const bodies = ["no JSON\n", `"${"x".repeat(17 * 1024 * 1024)}`];
  const { url } = await serve((_, response, number) => {
    response.writeHead(200, HEAD);
    response.end(bodies[number - 1]);
  });
  const fairlead = client(url, { transport: "ndjson", maxRetries: 0 });
  await expect(all(fairlead.attach(STREAM))).rejects.toMatchObject({ code: "protocol" });
  await expect(all(fairlead.attach(STREAM))).rejects.toMatchObject({ code: "protocol" });
});

test("a refusal that is not of the log is thrown, and a drain waits", async () => {
  const said = [
    { type: "drain", stream: STREAM, data: { retry_after: 0 } },
    { type: "error", stream: STREAM, data: { error: "no", code: "revoked", retryable: false } },
  ];
  const { url, asked } = await serve((_, response, number) => {
    if (number > 2) return json(response, {}, 500);
    response.writeHead(200, HEAD);
    response.end(`${JSON.stringify(said[number - 1])}\n`);
  });
  const fairlead = client(url, { transport: "ndjson" });
  await expect(all(fairlead.attach(STREAM))).rejects.toMatchObject({ code: "revoked" });
  expect(asked).toHaveLength(2);
});
