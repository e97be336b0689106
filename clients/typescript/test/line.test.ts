import { afterEach, expect, test, vi } from "vitest";
import { FairleadError, type ConnectionState } from "../src/index.js";
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
  TOKENS,
  textOf,
} from "./support.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

const problem = (response: import("node:http").ServerResponse, status: number, fields: object) => {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ error: "no", code: "busy", retryable: false, ...fields }));
};

test("the question, the credential and the fields reach the server", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  const fairlead = client(`${url}/ai/`, {
    apiKey: () => Promise.resolve("secret"),
    headers: { "X-Trace": "7" },
  });
  await all(
    fairlead.ask("Why?", { conversationId: "c1", orphanWindow: 5, parent: "", key: "mine" }),
  );
  const [request] = asked;
  expect(request!.url).toBe("/ai/chat/stream");
  expect(request!.headers).toMatchObject({
    authorization: "Bearer secret",
    "idempotency-key": "mine",
    "x-trace": "7",
    accept: "text/event-stream",
  });
  expect(JSON.parse(request!.body)).toEqual({
    message: "Why?",
    conversation_id: "c1",
    orphan_window: 5,
    parent: "",
  });
});

test("a budget that refills soon is waited for, and no other", async () => {
  for (const [retry_after, tries] of [
    [1, 2],
    [34200, 1],
  ] as const) {
    const { url, asked } = await serve((_, response) => {
      if (asked.length > 1) {
        response.writeHead(200, HEAD);
        response.end(body());
      } else problem(response, 429, { code: "budget_exhausted", retryable: true, retry_after });
    });
    const reading = all(client(url, { maxDelay: 10 }).ask("?"));
    if (tries > 1) await reading;
    else await expect(reading).rejects.toMatchObject({ retryAfter: 34200 });
    expect(asked.length).toBe(tries);
  }
});

test("two questions have two keys", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  const fairlead = client(url);
  await all(fairlead.ask("?"));
  await all(fairlead.ask("?"));
  expect(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(2);
});

test("attaching goes on after a position and asks nothing", async () => {
  const { url, asked } = await serve((request, response) => {
    response.writeHead(200, HEAD);
    response.end(body(seen(request)));
  });
  const events = await all(client(url).attach(STREAM, { after: position(3) }));
  expect(events.map((event) => event.position)).toEqual(
    ANSWER.slice(4).map((_, n) => position(n + 4)),
  );
  expect(asked.map(({ method }) => method)).toEqual(["GET"]);
});

test("at the end of a finished answer there is nothing", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(204);
    response.end();
  });
  expect(await all(client(url).attach(STREAM, { after: "1999" }))).toEqual([]);
});

test("a refusal that is final is thrown at once, with the server's words", async () => {
  const { url, asked } = await serve((_, response) =>
    problem(response, 401, { error: "no credential", code: "unauthenticated" }),
  );
  const failure = all(client(url).ask("?"));
  await expect(failure).rejects.toBeInstanceOf(FairleadError);
  await expect(failure).rejects.toMatchObject({
    code: "unauthenticated",
    message: "no credential",
    status: 401,
    retryable: false,
  });
  expect(asked).toHaveLength(1);
});

test.each([408, 425, 429, 500, 502, 503])(
  "after %i it tries again, with the same key",
  async (status) => {
    const { url, asked } = await serve((_, response, number) => {
      if (number < 3) {
        response.writeHead(status, { "Retry-After": "0" });
        return response.end("<html>later</html>");
      }
      response.writeHead(200, HEAD);
      return response.end(body());
    });
    expect(textOf(await all(client(url).ask("?")))).toBe(TEXT);
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
  },
);

test("the server's own time is waited for, where it names one", async () => {
  const waits: ConnectionState[] = [];
  const { url } = await serve((request, response, number) => {
    if (number === 1) return problem(response, 503, { retryable: true, retry_after: 0.02 });
    if (number === 2) {
      response.writeHead(200, HEAD);
      return response.end(`${block(0)}event: drain\ndata: {"retry_after": 0.03}\n\n`);
    }
    if (number === 3) return cut(response, `retry: 40\n${block(1)}`);
    response.writeHead(200, HEAD);
    return response.end(body(seen(request)));
  });
  const answer = client(url, { maxDelay: Infinity }).ask("?", {
    onConnection: (state) => state.state === "waiting" && waits.push(state),
  });
  expect(textOf(await all(answer))).toBe(TEXT);
  const delays = waits.map((state) => (state.state === "waiting" ? state.delay : 0));
  for (const [n, least] of [20, 30, 40].entries()) {
    expect(delays[n]).toBeGreaterThanOrEqual(least);
    expect(delays[n]).toBeLessThanOrEqual(least * 1.25);
  }
});

test("it gives up after maxRetries tries in a row", async () => {
  const { url, asked } = await serve((_, response) => response.socket?.destroy());
  await expect(all(client(url, { maxRetries: 3 }).ask("?"))).rejects.toMatchObject({
    code: "unreachable",
  });
  expect(asked).toHaveLength(4);
});

test("tries count only in a row", async () => {
  const { url } = await serve((request, response, number) => {
    if (number % 2) return response.socket?.destroy();
    const from = seen(request);
    if (from < ANSWER.length - 1) return cut(response, block(from));
    response.writeHead(200, HEAD);
    return response.end(block(from));
  });
  expect(textOf(await all(client(url, { maxRetries: 2 }).ask("?")))).toBe(TEXT);
});

test("leaving ends the connection and stops nothing", async () => {
  let closed!: () => void;
  const gone = new Promise<void>((resolve) => (closed = resolve));
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.write(block(0));
    response.on("close", closed);
  });
  for await (const event of client(url).ask("?")) {
    expect(event.type).toBe("thinking");
    break;
  }
  await gone;
  expect(asked).toHaveLength(1);
});

test("an aborted signal ends the reading with its reason", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.write(block(0));
  });
  const controller = new AbortController();
  const reason = new Error("enough");
  const reading = (async () => {
    for await (const _ of client(url).ask("?", { signal: controller.signal })) {
      controller.abort(reason);
    }
  })();
  await expect(reading).rejects.toBe(reason);
  const early = client(url).ask("?", { signal: AbortSignal.abort(reason) });
  await expect(all(early)).rejects.toBe(reason);
});

test("an abort also ends a wait", async () => {
  const { url } = await serve((_, response) =>
    problem(response, 503, { retryable: true, retry_after: 999 }),
  );
  const controller = new AbortController();
  const reading = all(
    client(url, { maxDelay: Infinity }).ask("?", {
      signal: controller.signal,
      onConnection: ({ state }) => state === "waiting" && queueMicrotask(() => controller.abort()),
    }),
  );
  await expect(reading).rejects.toMatchObject({ name: "AbortError" });
});

test("callbacks get what the articles' callbacks get", async () => {
  const { url } = await serve((request, response, number) => {
    if (number === 1) return cut(response, body().slice(0, 700));
    response.writeHead(200, HEAD);
    return response.end(body(seen(request)));
  });
  const calls: [string, unknown][] = [];
  await new Promise<void>((resolve) => {
    client(url)
      .ask("?")
      .listen({
        onThinking: ({ message }) => calls.push(["thinking", message]),
        onSources: (sources) => calls.push(["sources", sources.map(({ title }) => title)]),
        onToken: (token) => calls.push(["token", token]),
        onError: (error) => calls.push(["error", error]),
        onDone: ({ status }) => {
          calls.push(["done", status]);
          resolve();
        },
      });
  });
  expect(calls).toEqual([
    ["thinking", "检索中…"],
    ["sources", ["Täu"]],
    ...TOKENS.map((token) => ["token", token]),
    ["done", "completed"],
  ]);
});

test("cancelled, no callback is called any more", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  let calls = 0;
  const answer = client(url).ask("?");
  await new Promise<void>((resolve) => {
    const cancel = answer.listen({
      onEvent: () => {
        calls += 1;
        cancel();
        resolve();
      },
      onError: () => (calls += 1),
    });
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(calls).toBe(1);
});

test("onError gets what the server says, in an event and in a refusal", async () => {
  const { url } = await serve((request, response) => {
    if (request.body.includes("refuse")) return problem(response, 404, { code: "not_found" });
    response.writeHead(200, HEAD);
    return response.end(
      `id: ${STREAM}.1\nevent: error\ndata: {"error":"cut","code":"interrupted","retryable":true}\n\n`,
    );
  });
  for (const [message, code] of [
    ["refuse", "not_found"],
    ["fail", "interrupted"],
  ] as const) {
    const error = await new Promise<FairleadError>((resolve) => {
      client(url).ask(message).listen({ onError: resolve });
    });
    expect(error.code).toBe(code);
  }
});

test("an error that is not of the log says that this reader may not read on", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(`${block(0)}event: error\ndata: {"error":"expired","code":"unauthenticated"}\n\n`);
  });
  const answer = client(url).ask("?");
  await expect(all(answer)).rejects.toMatchObject({ code: "unauthenticated" });
  expect(answer.position).toBe(position(0));
});

test.each(["unauthenticated", "revoked"])(
  "a credential that is %s is replaced, where a function gives a fresh one",
  async (code) => {
    const { url, asked } = await serve((request, response) => {
      response.writeHead(200, HEAD);
      if (request.headers["authorization"] === "Bearer 2") return response.end(body(seen(request)));
      const data = JSON.stringify({ error: "over", code });
      const from = seen(request);
      return response.end(`${from < 2 ? block(from) : ""}event: error\ndata: ${data}\n\n`);
    });
    let keys = 0;
    const events = await all(client(url, { apiKey: () => String((keys += 1)) }).ask("?"));
    expect(events).toHaveLength(ANSWER.length);
    expect(asked).toHaveLength(2);
    // One that is good for nothing is not tried again.
    await expect(all(client(url, { apiKey: () => "old" }).ask("?"))).rejects.toMatchObject({
      code,
    });
    expect(asked).toHaveLength(5);
  },
);

test("stop reaches the server, as soon as it has named the stream", async () => {
  let first: import("node:http").ServerResponse;
  const { url, asked } = await serve((request, response) => {
    if (request.url.endsWith("/stop")) {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end("{}");
      return first.end(
        `id: ${STREAM}.1999\nevent: done\ndata: {"status":"stopped","reason":"stop"}\n\n`,
      );
    }
    first = response;
    response.writeHead(200, HEAD);
    return response.write(block(0));
  });
  const answer = client(url).ask("?");
  const stopped = answer.stop();
  const state = await answer.result();
  await stopped;
  expect(state.status).toBe("stopped");
  expect(asked[1]!.url).toBe(`/streams/${STREAM}/stop`);
});

test("a stop that could not be delivered is sent again, at the latest with the next event", async () => {
  let first: import("node:http").ServerResponse;
  let stops = 0;
  const { url } = await serve((request, response) => {
    if (!request.url.endsWith("/stop")) {
      first = response;
      response.writeHead(200, HEAD);
      return response.write(block(0));
    }
    stops += 1;
    if (stops === 1) return response.socket?.destroy();
    if (stops === 2) {
      problem(response, 503, { retryable: true, retry_after: 1_000_000 });
      return setImmediate(() => first.write(block(1)));
    }
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end("{}");
    const done = '{"status":"stopped","reason":"stop"}';
    return first.end(`id: ${STREAM}.1999\nevent: done\ndata: ${done}\n\n`);
  });
  const answer = client(url, { maxDelay: 1_000_000_000 }).ask("?");
  const stopped = answer.stop();
  expect((await answer.result()).status).toBe("stopped");
  await stopped;
  expect(stops).toBe(3);
});

test("a stop that is refused is not sent again, and may be tried anew", async () => {
  let stops = 0;
  const { url } = await serve((request, response) => {
    if (!request.url.endsWith("/stop")) {
      response.writeHead(200, HEAD);
      return response.write(block(0));
    }
    stops += 1;
    return problem(response, 403, { code: "forbidden" });
  });
  const answer = client(url).ask("?");
  void answer.result();
  await expect(answer.stop()).rejects.toMatchObject({ code: "forbidden" });
  await expect(answer.stop()).rejects.toMatchObject({ code: "forbidden" });
  expect(stops).toBe(2);
  answer.close();
});

test("unknown events, fields and unnamed ids are passed over", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(
      `id: ${STREAM}.1000a\nevent: weather\ndata: {"sky":"blue"}\n\n: c\nfoo: bar\n${body()}`,
    );
  });
  const events = await all(client(url).ask("?"));
  expect(events).toHaveLength(ANSWER.length);
});

test("an answer is read once", async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  const answer = client(url).ask("?");
  await answer.result();
  await expect(answer.result()).rejects.toBeInstanceOf(TypeError);
});

test("a dead connection is given up and made anew", async () => {
  const { url, asked } = await serve((request, response, number) => {
    response.writeHead(200, HEAD);
    if (number === 1) return response.write(block(0)); // and nothing more, ever
    return response.end(body(seen(request)));
  });
  expect(textOf(await all(client(url, { silence: 200 }).ask("?")))).toBe(TEXT);
  expect(asked.length).toBeGreaterThanOrEqual(2);
});

test("heartbeats keep a quiet connection alive", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.write(block(0));
    let beats = 0;
    const beating = setInterval(() => {
      response.write(": heartbeat\n");
      beats += 1;
      if (beats < 12) return;
      clearInterval(beating);
      response.end(body(1));
    }, 100);
  });
  expect(textOf(await all(client(url, { silence: 1000 }).ask("?")))).toBe(TEXT);
  expect(asked).toHaveLength(1);
});

test("a slow reader is not taken for a dead connection", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  let text = "";
  for await (const event of client(url, { silence: 1500 }).ask("?")) {
    if (event.type === "sources") await new Promise((resolve) => setTimeout(resolve, 3000));
    if (event.type === "token") text += event.data.token;
  }
  expect(text).toBe(TEXT);
  expect(asked).toHaveLength(1);
});

test("a page that is hidden reads on over the connection it has", async () => {
  const page = Object.assign(new EventTarget(), { hidden: false, visibilityState: "visible" });
  vi.stubGlobal("document", page);
  let rest!: () => void;
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.write(block(0));
    rest = () => response.end(body(1));
  });
  const events = client(url).ask("?")[Symbol.asyncIterator]();
  const first = await events.next();
  Object.assign(page, { hidden: true, visibilityState: "hidden" });
  page.dispatchEvent(new Event("visibilitychange"));
  rest();
  const seen = [first.value!];
  for (let next = await events.next(); !next.done; next = await events.next()) {
    seen.push(next.value);
  }
  expect(textOf(seen)).toBe(TEXT);
  expect(asked).toHaveLength(1);
});

test("offline it waits for the network, however long, and then goes on at once", async () => {
  const page = new EventTarget();
  const navigator = { onLine: true };
  vi.stubGlobal("navigator", navigator);
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  const { url, asked } = await serve((request, response, number) => {
    if (number === 1) {
      navigator.onLine = false;
      return cut(response, block(0));
    }
    response.writeHead(200, HEAD);
    return response.end(body(seen(request)));
  });
  const answer = client(url, { maxRetries: 1 }).ask("?", {
    onConnection: (state) => {
      if (state.state !== "waiting" || state.delay !== Infinity) return;
      expect(asked).toHaveLength(1);
      navigator.onLine = true;
      queueMicrotask(() => page.dispatchEvent(new Event("online")));
    },
  });
  expect(textOf(await all(answer))).toBe(TEXT);
  expect(asked).toHaveLength(2);
});

test("a refusal is thrown at once where that is wished, and an answer is read on all the same", async () => {
  const { url, asked } = await serve((_, response, number) => {
    if (number === 1 || number === 3) {
      return problem(response, 503, { retryable: true, retry_after: number === 1 ? 7 : 0 });
    }
    if (number === 2) return cut(response, block(0) + block(1));
    response.writeHead(200, HEAD);
    return response.end(body(2));
  });
  const fairlead = client(url, { refusals: "throw" });
  await expect(all(fairlead.ask("Hi"))).rejects.toMatchObject({ code: "busy", retryAfter: 7 });
  expect(asked).toHaveLength(1);
  expect(textOf(await all(fairlead.ask("Hi")))).toBe(TEXT);
  expect(asked).toHaveLength(4);
});
