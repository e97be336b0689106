import { expect, test } from "vitest";
import {
  all,
  ANSWER,
  block,
  body,
  client,
  cut,
  HEAD,
  position,
  seen,
  serve,
  STREAM,
  TEXT,
  textOf,
} from "./support.js";

const TYPES = ANSWER.map(([type]) => type);

test.each(["\n", "\r\n", "\r"])("a body split anywhere is the same body (%j)", async (newline) => {
  const bytes = new TextEncoder().encode(
    // A line that ends in CR alone is complete only when something other than LF follows.
    "\uFEFF" + body(0, newline) + `: end${newline}: end`,
  );
  for (let at = 0; at <= bytes.length; at += 1) {
    const chunks = [bytes.slice(0, at), bytes.slice(at)];
    const fetch = () =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            pull(controller) {
              const chunk = chunks.shift();
              if (chunk) controller.enqueue(chunk);
              else controller.close();
            },
          }),
          { headers: HEAD },
        ),
      );
    const events = await all(client("http://x", { fetch }).ask("?"));
    expect(events.map(({ type }) => type)).toEqual(TYPES);
    expect(textOf(events)).toBe(TEXT);
  }
});

test("a connection cut after any byte costs nothing and repeats nothing", async () => {
  const whole = new TextEncoder().encode(body());
  let at = 0;
  let connections = 0;
  const { url, asked } = await serve((request, response) => {
    connections += 1;
    if (connections === 1) return cut(response, whole.slice(0, at));
    if (request.method === "GET" && seen(request) === ANSWER.length) {
      response.writeHead(204);
      return response.end();
    }
    response.writeHead(200, HEAD);
    return response.end(body(seen(request)));
  });
  for (; at <= whole.length; at += 1) {
    connections = asked.length = 0;
    const answer = client(url).ask("Was ist das?");
    const events = await all(answer);
    expect(events.map(({ position }) => position)).toEqual(ANSWER.map((_, n) => position(n)));
    expect(textOf(events)).toBe(TEXT);
    expect(answer.stream).toBe(STREAM);
    const keys = asked.filter((r) => r.method === "POST").map((r) => r.headers["idempotency-key"]);
    expect(new Set(keys).size).toBe(1);
  }
});

test("a cut in every event, one after another", async () => {
  const { url, asked } = await serve((request, response) => {
    const from = seen(request);
    if (from === ANSWER.length - 1) {
      response.writeHead(200, HEAD);
      return response.end(block(from));
    }
    // One whole event, and half of the next one, cut inside a character where there is one.
    const next = new TextEncoder().encode(block(from + 1));
    const half = next.slice(0, next.lastIndexOf(0xa3) + 1 || next.length / 2);
    return cut(response, Buffer.concat([Buffer.from(block(from)), half]));
  });
  const events = await all(client(url, { maxRetries: 200 }).ask("?"));
  expect(textOf(events)).toBe(TEXT);
  expect(events).toHaveLength(ANSWER.length);
  expect(asked.length).toBeGreaterThanOrEqual(ANSWER.length);
});

test("an event that is too large is refused", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.write("data: ");
    const line = "x".repeat(1 << 20);
    for (let n = 0; n < 18; n += 1) response.write(line);
    response.end();
  });
  await expect(all(client(url).ask("?"))).rejects.toMatchObject({ code: "protocol" });
});

test("data that is no JSON object is refused", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(`id: ${STREAM}.1\nevent: token\ndata: oops\n\n`);
  });
  await expect(all(client(url).ask("?"))).rejects.toMatchObject({ code: "protocol" });
});
