import { afterEach, expect, test, vi } from "vitest";
import { Path } from "../src/path.js";
import {
  all,
  ANSWER,
  batch,
  body,
  client,
  HEAD,
  seen,
  serve,
  STREAM,
  TEXT,
  textOf,
} from "./support.js";

afterEach(() => {
  vi.useRealTimers();
});

const starts = (response: import("node:http").ServerResponse) => {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ stream: STREAM, status: "running" }));
};

/** A server behind a path that holds every stream back. */
async function behind(hold: (response: import("node:http").ServerResponse) => unknown) {
  let open = false;
  const served = await serve((request, response) => {
    if (request.headers.accept === "text/event-stream") {
      if (!open) return hold(response);
      response.writeHead(200, HEAD);
      return response.end(body(seen(request)));
    }
    if (request.method === "POST") return starts(response);
    const from = seen(request);
    return batch(response, from, Math.min(from + 2, ANSWER.length));
  });
  return { ...served, clear: () => (open = true) };
}

const transports = (asked: { headers: object; url: string }[]) =>
  asked.map(({ headers, url }) =>
    (headers as { accept: string }).accept === "text/event-stream" ? "sse" : url.split("?")[0],
  );

test.each([
  ["says nothing at all", () => undefined],
  [
    "sends the head and holds the body back",
    (response: import("node:http").ServerResponse) => {
      response.writeHead(200, HEAD);
      response.flushHeaders();
    },
  ],
  [
    "answers with a page of its own",
    (response: import("node:http").ServerResponse) => {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end("<html>Please log in</html>");
    },
  ],
  [
    "ends every body before it begins",
    (response: import("node:http").ServerResponse) => {
      response.writeHead(200, HEAD);
      response.end();
    },
  ],
])("where the path %s, polling gets through", async (_, hold) => {
  const { url, asked } = await behind(hold);
  const fairlead = client(url, { firstSign: 50 });
  expect(textOf(await all(fairlead.ask("?")))).toBe(TEXT);
  const keys = asked.filter((r) => r.method === "POST").map((r) => r.headers["idempotency-key"]);
  expect(new Set(keys).size).toBe(1);

  // The next answer does not stumble over the same stone.
  const before = asked.length;
  expect(textOf(await all(fairlead.ask("?")))).toBe(TEXT);
  expect(transports(asked.slice(before))).not.toContain("sse");
});

test("it climbs back to streaming when the path is clear again", async () => {
  const { url, asked, clear } = await behind(() => undefined);
  const fairlead = client(url, { firstSign: 500 });
  vi.useFakeTimers({ toFake: ["Date"] });
  let text = "";
  let climbed = 0;
  for await (const event of fairlead.ask("?")) {
    if (event.type === "token") text += event.data.token;
    if (event.type === "sources") {
      clear();
      climbed = asked.length;
      vi.setSystemTime(Date.now() + 61_000);
    }
  }
  expect(text).toBe(TEXT);
  expect(transports(asked.slice(climbed))).toEqual(["sse"]);
});

test("a poll that is told nothing asks again after the same position", async () => {
  const { url, asked } = await serve((request, response, number) => {
    if (request.method === "POST") return starts(response);
    if (number === 3 || number === 4) {
      response.writeHead(204, { "Fairlead-Position": "1001" });
      return response.end();
    }
    const from = seen(request);
    return batch(response, from, from ? ANSWER.length : 2);
  });
  const events = await all(client(url, { transport: "poll" }).ask("?"));
  expect(textOf(events)).toBe(TEXT);
  expect(asked.slice(2).map(({ url }) => url)).toEqual(
    Array(3).fill(`/streams/${STREAM}?wait=25&after=1001`),
  );
});

test("a poll that is cut repeats and loses nothing", async () => {
  const { url } = await serve((request, response, number) => {
    if (number % 2) return response.socket?.destroy();
    if (request.method === "POST") return starts(response);
    return batch(response, seen(request), Math.min(seen(request) + 1, ANSWER.length));
  });
  const events = await all(client(url, { transport: "poll", maxRetries: 1 }).ask("?"));
  expect(textOf(events)).toBe(TEXT);
  expect(events).toHaveLength(ANSWER.length);
});

test("a server that starts only as a stream can be polled too", async () => {
  const { url } = await serve((request, response) => {
    if (request.method === "POST") {
      response.writeHead(200, HEAD);
      return response.write(body().slice(0, 200));
    }
    return batch(response, seen(request));
  });
  expect(textOf(await all(client(url, { transport: "poll" }).ask("?")))).toBe(TEXT);
});

const LADDER = ["sse", "poll"] as const;

test("a blocked transport is tried again after ever longer times", () => {
  const path = new Path();
  expect(path.choose(LADDER, 0)).toBe("sse");
  let now = 0;
  for (const penalty of [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]) {
    path.blocks("sse", now);
    expect(path.choose(LADDER, now + penalty - 1)).toBe("poll");
    now += penalty;
    expect(path.choose(LADDER, now)).toBe("sse");
    expect(path.suspects("sse")).toBe(true);
  }
  path.works("sse");
  expect(path.suspects("sse")).toBe(false);
  path.blocks("sse", now);
  path.blocks("poll", now);
  expect(path.choose(LADDER, now)).toBe("poll");
});
