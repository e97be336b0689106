import { WebSocket } from "ws";
import { expect, test } from "vitest";
import type { ServerResponse } from "node:http";
import type { ClientOptions } from "../src/index.js";
import {
  all,
  block,
  body,
  client,
  HEAD,
  json,
  position,
  read,
  serve,
  serveSockets,
  STREAM,
  TEXT,
  textOf,
  type Asked,
  type Peer,
  type Said,
} from "./support.js";

const NEXT = "7777777777777777777777777a";
const STOPPED = { type: "done", stream: STREAM, position: "1999", data: { status: "stopped" } };

const auto = (url: string, options: ClientOptions = {}) => client(url, { WebSocket, ...options });

/** An answer that is under way over SSE, and is stopped by `end`. */
function underWay() {
  let open: ServerResponse | undefined;
  return {
    handler: (_: Asked, response: ServerResponse) => {
      open = response;
      response.writeHead(200, HEAD);
      response.write(block(0) + block(1) + block(2));
    },
    end: () => {
      const data = JSON.stringify(STOPPED.data);
      open?.end(`id: ${STREAM}.${STOPPED.position}\nevent: done\ndata: ${data}\n\n`);
    },
  };
}

/** Answers an `interrupt` as the server does. */
const interrupted = (said: Said, peer: Peer) => read(said, peer, undefined, NEXT);

test("an answer that comes over SSE is interrupted over a WebSocket, in one act", async () => {
  const first = underWay();
  const { url, peers, asked } = await serveSockets((said, peer) => {
    first.end();
    interrupted(said, peer);
  }, first.handler);
  const answer = auto(url).ask("Count.");
  const types: string[] = [];
  let next: Promise<string> | undefined;
  for await (const event of answer) {
    types.push(event.type);
    if (event.type === "token") next = all(answer.interrupt("From four!")).then(textOf);
  }
  expect(types).toEqual(["thinking", "sources", "token", "done"]);
  expect(await next).toBe(TEXT);
  expect(asked).toHaveLength(1); // the first question
  expect(peers.map(({ said }) => said)).toEqual([
    [
      {
        type: "interrupt",
        stream: STREAM,
        shown: position(2),
        message: "From four!",
        key: `interrupt ${STREAM}`,
        id: expect.any(String),
      },
    ],
  ]);
});

test("over a WebSocket the one socket does it", async () => {
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "chat") return read(said, peer, 3);
    peer.say(STOPPED);
    return interrupted(said, peer);
  });
  const answer = auto(url).ask("Count.", { interruptible: true });
  let next: Promise<string> | undefined;
  const first = answer.result((state) => {
    if (state.text) next ??= all(answer.interrupt("!", { shown: position(1) })).then(textOf);
  });
  expect((await first).status).toBe("stopped");
  expect(await next).toBe(TEXT);
  expect(peers).toHaveLength(1);
  expect(peers[0]!.said[1]).toMatchObject({ type: "interrupt", shown: position(1) });
});

test("tried again, it is the same act", async () => {
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (number < 4) return peer.socket.terminate();
    return interrupted(said, peer);
  });
  const events = await all(
    auto(url, { transport: "websocket" })
      .attach(STREAM, { after: position(4) })
      .interrupt("!"),
  );
  expect(textOf(events)).toBe(TEXT);
  const { id: _, ...act } = peers[0]!.said[0]!;
  expect(act).toMatchObject({ type: "interrupt", shown: position(4) });
  expect(peers.map(({ said }) => said[0])).toEqual(Array(4).fill(expect.objectContaining(act)));
});

test("an answer is interrupted as soon as it has begun", async () => {
  const first = underWay();
  let begin!: () => void;
  const { url, peers } = await serveSockets(interrupted, (asked, response) => {
    begin = () => first.handler(asked, response);
  });
  const answer = auto(url).ask("?");
  void answer.result();
  const next = all(answer.interrupt("!"));
  await expect.poll(() => begin, { timeout: 60_000 }).toBeTruthy();
  expect(peers).toHaveLength(0);
  begin();
  expect(textOf(await next)).toBe(TEXT);
  expect(peers[0]!.said[0]).not.toHaveProperty("shown", position(0)); // nothing was seen by then
});

test("what never began cannot be interrupted", async () => {
  const { url } = await serveSockets(interrupted, (_, response) =>
    json(response, { error: "no", code: "bad_request" }, 400),
  );
  const answer = auto(url).ask("?");
  expect(() => answer.interrupt("!")).toThrow(TypeError);
  const reading = answer.result();
  await expect(all(answer.interrupt("!"))).rejects.toMatchObject({ code: "not_found" });
  await reading;
});

test("where no WebSocket gets through it is one act over HTTP", async () => {
  let tries = 0;
  const { url, asked } = await serve((request, response) => {
    if (request.url === "/ws") return response.writeHead(400).end();
    if ((tries += 1) < 3) return response.destroy();
    response.writeHead(200, { ...HEAD, "Fairlead-Stream": NEXT });
    return response.end(body().replaceAll(STREAM, NEXT));
  });
  const answer = auto(url, { maxDelay: 0 }).attach(STREAM, { after: position(4) });
  const events = all(answer.interrupt("!", { model: "big" }));
  expect(textOf(await events)).toBe(TEXT);
  const acts = asked.filter(({ url }) => url !== "/ws");
  expect(acts).toHaveLength(3);
  for (const { method, url, headers, body } of acts) {
    expect(`${method} ${url}`).toBe(`POST /streams/${STREAM}/interrupt`);
    expect(headers["idempotency-key"]).toBe(`interrupt ${STREAM}`);
    expect(JSON.parse(body)).toEqual({ message: "!", model: "big", shown: position(4) });
  }
});

test.each(["sse", "poll", "connect"] as const)("who reads over %s interrupts so", async (name) => {
  const { url, asked } = await serve((request, response) => {
    if (request.url.startsWith(`/streams/${STREAM}`)) {
      response.writeHead(200, { ...HEAD, "Fairlead-Stream": NEXT });
      return response.end(name === "sse" ? body().replaceAll(STREAM, NEXT) : "");
    }
    return json(response, { error: "enough", code: "gone" }, 410);
  });
  const answer = client(url, { transport: name }).attach(STREAM, { after: position(4) });
  const state = await answer.interrupt("!").result();
  expect(state.status).toBe(name === "sse" ? "completed" : "failed"); // the rest is not the matter
  expect(asked[0]!.url).toBe(`/streams/${STREAM}/interrupt`);
  expect(JSON.parse(asked[0]!.body)).toEqual({ message: "!", shown: position(4) });
  expect(asked[1]?.url ?? NEXT).toMatch(name === "connect" ? /Attach$/ : NEXT);
});

test("a path that holds streams back lets a WebSocket through", async () => {
  const { url, peers, asked } = await serveSockets(
    (said, peer) => read(said, peer),
    () => undefined,
  );
  const fairlead = auto(url, { firstSign: 2000 });
  for (let n = 0; n < 2; n += 1) expect(textOf(await all(fairlead.ask("?")))).toBe(TEXT);
  expect(asked).toHaveLength(1); // the second answer does not stumble over the same stone
  expect(peers).toHaveLength(1);
  expect(peers[0]!.said[0]!["key"]).toBe(asked[0]!.headers["idempotency-key"]);
});

test("where a WebSocket is wanted and none gets through, SSE does", async () => {
  const { url, asked } = await serve((request, response) => {
    if (request.url === "/ws") return response.writeHead(400).end();
    response.writeHead(200, HEAD);
    return response.end(body());
  });
  const fairlead = auto(url);
  for (let n = 0; n < 2; n += 1) {
    expect(textOf(await all(fairlead.ask("?", { interruptible: true })))).toBe(TEXT);
  }
  expect(asked.map(({ url }) => url)).toEqual(["/ws", "/ws", "/chat/stream", "/chat/stream"]);
});
