import { WebSocket } from "ws";
import { afterEach, expect, test, vi } from "vitest";
import { Fairlead, FairleadError, type ClientOptions, type ConnectionState } from "../src/index.js";
import {
  after,
  all,
  ANSWER,
  client,
  HEAD,
  message,
  position,
  read,
  serve,
  serveSockets,
  STREAM,
  TEXT,
  TOKENS,
  textOf,
  type Peer,
  type Said,
} from "./support.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

const over = (url: string, options: ClientOptions = {}) =>
  client(url, { transport: "websocket", WebSocket, ...options });

const closed = ({ socket }: Peer) =>
  new Promise<number>((resolve) => socket.on("close", (code: number) => resolve(code)));

/** A safety net only. */
const WAIT = { timeout: 60_000 };

const requests = ({ said }: Peer) => said.filter(({ type }) => type !== "ping");

test("the question, the credential and the fields reach the server", async () => {
  const { url, peers } = await serveSockets((said, peer) => read(said, peer));
  const fairlead = over(`${url}/ai/`, { apiKey: () => Promise.resolve("k(1)/é") });
  const events = await all(fairlead.ask("Why?", { conversationId: "c1", key: "mine" }));
  expect(textOf(events)).toBe(TEXT);
  expect(events.map((event) => event.position)).toEqual(ANSWER.map((_, n) => position(n)));
  const [peer] = peers;
  expect(peer!.url).toBe("/ai/ws");
  expect(peer!.protocols).toEqual(["fairlead.v1", "fairlead.key.k%281%29%2F%C3%A9"]);
  expect(peer!.said).toEqual([
    { type: "chat", message: "Why?", conversation_id: "c1", key: "mine", id: expect.any(String) },
  ]);
});

test("without a WebSocket it says what is missing", () => {
  const none = { WebSocket: undefined } as unknown as ClientOptions;
  expect(globalThis.WebSocket).toBeUndefined(); // as in Node 20
  expect(() => new Fairlead({ transport: "websocket", ...none })).toThrow("option 'WebSocket'");
  expect(() => new Fairlead().ask("?", { interruptible: true })).toThrow("option 'WebSocket'");
});

test("a socket cut after every event costs nothing and repeats nothing", async () => {
  const { url, peers } = await serveSockets((said, peer) => {
    read(said, peer, after(said) + 1);
    peer.socket.terminate();
  });
  const events = await all(over(url).ask("?"));
  expect(events.map((event) => event.position)).toEqual(ANSWER.map((_, n) => position(n)));
  expect(peers.flatMap(requests).map(({ type, after = "" }) => `${type} ${after}`)).toEqual([
    "chat ",
    ...ANSWER.slice(1).map((_, n) => `attach ${position(n)}`),
  ]);
});

test("a question whose answer was lost is asked again with the same key", async () => {
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (number < 4) return peer.socket.terminate();
    return read(said, peer);
  });
  expect(textOf(await all(over(url).ask("?")))).toBe(TEXT);
  const keys = peers.flatMap(requests).map(({ key }) => key);
  expect(keys).toHaveLength(4);
  expect(new Set(keys).size).toBe(1);
});

test("many answers share one socket, and each gets its own", async () => {
  const waiting: (() => void)[] = [];
  const { url, peers } = await serveSockets((said, peer) => {
    waiting.push(() => read(said, peer, ANSWER.length, `stream-${said["message"]}`));
    if (waiting.length === 120) for (const answer of waiting.reverse()) answer();
  });
  const fairlead = over(url);
  const answers = await Promise.all(
    Array.from({ length: 120 }, (_, n) => all(fairlead.ask(String(n)))),
  );
  for (const [n, events] of answers.entries()) {
    expect(textOf(events)).toBe(TEXT);
    expect(new Set(events.map(({ stream }) => stream))).toEqual(new Set([`stream-${n}`]));
  }
  expect(peers.map(({ said }) => said.length)).toEqual([100, 20]); // 100 is the server's cap
});

test("two readers of one answer do not disturb each other", async () => {
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (said["type"] === "detach") return;
    read(said, peer, number === 1 ? 4 : ANSWER.length);
  });
  const fairlead = over(url);
  const first = fairlead.attach(STREAM);
  const events = first[Symbol.asyncIterator]();
  for (let n = 0; n < 4; n += 1) await events.next();
  expect(textOf(await all(fairlead.attach(STREAM, { after: position(8) })))).toBe(TOKENS.at(-1));
  expect(peers).toHaveLength(2);
  for (let n = 4; n < ANSWER.length; n += 1) peers[0]!.say(message(n));
  const rest = await all({ [Symbol.asyncIterator]: () => events });
  expect(rest.map((event) => event.position)).toEqual(
    ANSWER.slice(4).map((_, n) => position(n + 4)),
  );
});

test("the same question twice under one key: both read the one answer", async () => {
  const { url } = await serveSockets((said, peer) => {
    if (said["type"] === "attach") return read(said, peer);
    return read(said, peer, said["message"] === "first" ? 5 : ANSWER.length);
  });
  const fairlead = over(url);
  const [one, two] = await Promise.all([
    all(fairlead.ask("first", { key: "k" })),
    all(fairlead.ask("second", { key: "k" })),
  ]);
  for (const events of [one, two]) {
    expect(events.map((event) => event.position)).toEqual(ANSWER.map((_, n) => position(n)));
  }
});

test("attached to at the end of a finished answer there is nothing", async () => {
  const { url } = await serveSockets((said, peer) =>
    peer.say({ type: "attached", stream: STREAM, id: said["id"], data: { closed: true } }),
  );
  expect(await all(over(url).attach(STREAM, { after: "1999" }))).toEqual([]);
});

test("leaving detaches and stops nothing; a socket that nobody uses is closed", async () => {
  let left!: (said: Said) => void;
  const detached = new Promise<Said>((resolve) => (left = resolve));
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "chat") read(said, peer, 3);
    else left(said);
  });
  for await (const event of over(url).ask("?")) {
    expect(event.type).toBe("thinking");
    break;
  }
  expect(await detached).toEqual({ type: "detach", stream: STREAM });
  expect(await closed(peers[0]!)).toBe(1000);
});

test("leaving before the server has answered detaches when it has", async () => {
  let left!: (said: Said) => void;
  const detached = new Promise<Said>((resolve) => (left = resolve));
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "detach") return left(said);
    cancel();
    return read(said, peer, 3);
  });
  const cancel = over(url)
    .ask("?")
    .listen({ onEvent: () => expect.fail("it was cancelled") });
  expect(await detached).toEqual({ type: "detach", stream: STREAM });
  expect(await closed(peers[0]!)).toBe(1000);
});

test.each([
  ["restarting", 1012],
  ["too many connections", 1013],
])("a server that closes because it is %s is come back to, ever later", async (reason, code) => {
  const network = new EventTarget();
  vi.stubGlobal("addEventListener", network.addEventListener.bind(network));
  const waits: number[] = [];
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (number < 4) return peer.socket.close(code, reason);
    return read(said, peer);
  });
  const answer = over(url, { maxDelay: Infinity }).ask("?", {
    onConnection: (state) => {
      if (state.state !== "waiting") return;
      waits.push(state.delay);
      expect(state.reason?.message).toBe(reason);
      queueMicrotask(() => network.dispatchEvent(new Event("online"))); // it waits no longer
    },
  });
  expect(textOf(await all(answer))).toBe(TEXT);
  expect(peers).toHaveLength(4);
  for (const [n, least] of [1000, 2000, 4000].entries()) {
    expect(waits[n]).toBeGreaterThanOrEqual(least);
    expect(waits[n]).toBeLessThanOrEqual(least * 1.25);
  }
});

test("a drain is a time to come back at", async () => {
  const waits: ConnectionState[] = [];
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (number > 1) return read(said, peer);
    read(said, peer, 4);
    peer.say({ type: "drain", stream: STREAM, data: { retry_after: 0.02 } });
    return peer.socket.close(1012, "restarting");
  });
  const answer = over(url, { maxDelay: Infinity }).ask("?", {
    onConnection: (state) => state.state === "waiting" && waits.push(state),
  });
  expect(textOf(await all(answer))).toBe(TEXT);
  expect(peers).toHaveLength(2);
  const [wait] = waits;
  expect(wait).toMatchObject({ state: "waiting", reason: null });
  expect((wait as { delay: number }).delay).toBeLessThanOrEqual(25);
});

test.each([
  [1008, "unauthenticated", "the credential has expired"],
  [1009, "too_large", "message too big"],
])("a server that closes with %i is not asked again", async (code, name, reason) => {
  const { url, peers } = await serveSockets((_, peer) => peer.socket.close(code, reason));
  const failure = all(over(url).ask("?"));
  await expect(failure).rejects.toBeInstanceOf(FairleadError);
  await expect(failure).rejects.toMatchObject({ code: name, message: reason, retryable: false });
  expect(peers).toHaveLength(1);
});

test("another's message that was too large costs no answer that has begun", async () => {
  const { url } = await serveSockets((said, peer) => {
    if (said["message"] === "large") return peer.socket.close(1009);
    return read(said, peer, said["type"] === "attach" ? ANSWER.length : 3);
  });
  const fairlead = over(url);
  let large: Promise<unknown> | null = null;
  let text = "";
  for await (const event of fairlead.ask("small")) {
    if (event.type === "token") text += event.data.token;
    large ??= expect(all(fairlead.ask("large"))).rejects.toMatchObject({ code: "too_large" });
  }
  await large;
  expect(text).toBe(TEXT);
});

test("a refused credential ends in the server's words", async () => {
  const { url, peers } = await serveSockets((_, peer) => {
    const data = { error: "no such key", code: "unauthenticated", retryable: false };
    peer.say({ type: "error", data });
    peer.socket.close(1008, "unauthenticated");
  });
  await expect(all(over(url).ask("?"))).rejects.toMatchObject({ message: "no such key" });
  expect(peers).toHaveLength(1);
});

test("an error answers its own request only; one that may pass is tried again", async () => {
  const { url } = await serveSockets((said, peer) => {
    if (said["message"] === "well") return read(said, peer);
    const busy = peer.said.filter(({ message }) => message === "busy").length < 3;
    if (said["message"] === "busy" && !busy) return read(said, peer, ANSWER.length, "b");
    const data =
      said["message"] === "busy"
        ? { error: "busy", code: "busy", retryable: true }
        : { error: "no", code: "bad_request", retryable: false };
    return peer.say({ type: "error", id: said["id"], data });
  });
  const fairlead = over(url);
  const [well, busy, wrong] = await Promise.allSettled(
    ["well", "busy", "wrong"].map((text) => all(fairlead.ask(text))),
  );
  expect(well).toMatchObject({ status: "fulfilled" });
  expect(busy).toMatchObject({ status: "fulfilled" });
  expect(wrong).toMatchObject({ status: "rejected", reason: { code: "bad_request" } });
});

test("an error that is not of the log says that this reader may not read on", async () => {
  const { url } = await serveSockets((said, peer) => {
    read(said, peer, 1);
    peer.say({ type: "error", stream: STREAM, data: { error: "gone", code: "gone" } });
  });
  const answer = over(url).ask("?");
  await expect(all(answer)).rejects.toMatchObject({ code: "gone" });
  expect(answer.position).toBe(position(0));
});

test("the line is asked for a sign of life, which keeps it", async () => {
  let pings = 0;
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "chat") return read(said, peer, 2);
    peer.say({ type: "pong" });
    if ((pings += 1) < 3) return undefined;
    for (let index = 2; index < ANSWER.length; index += 1) peer.say(message(index));
    return undefined;
  });
  expect(textOf(await all(over(url, { silence: 2000 }).ask("?")))).toBe(TEXT);
  expect(peers).toHaveLength(1);
});

test("a slow reader is not taken for a dead line", async () => {
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] !== "ping") return read(said, peer, said["type"] === "chat" ? 1 : undefined);
    // The first ping brings all but the end, the sixth one that: when it is waited for again.
    const from = { 2: 1, 7: ANSWER.length - 1 }[peer.said.length] ?? ANSWER.length;
    const to = ANSWER.length - (from === 1 ? 1 : 0);
    for (let index = from; index < to; index += 1) peer.say(message(index));
    return undefined;
  });
  let text = "";
  for await (const event of over(url, { silence: 1000 }).ask("?")) {
    if (event.type === "thinking") await new Promise((resolve) => setTimeout(resolve, 2500));
    if (event.type === "token") text += event.data.token;
  }
  expect(text).toBe(TEXT);
  expect(peers).toHaveLength(1);
});

test("a line without a sign of life is left, for all who read on it", async () => {
  const { url, peers } = await serveSockets((said, peer, number) => {
    const stream = said["message"] ?? said["stream"];
    if (said["type"] !== "ping") read(said, peer, number === 1 ? 2 : ANSWER.length, stream);
  });
  const fairlead = over(url, { silence: 200 });
  for (const events of await Promise.all(["a", "b"].map((text) => all(fairlead.ask(text))))) {
    expect(textOf(events)).toBe(TEXT);
  }
  expect(peers.length).toBeGreaterThan(1);
});

test("a request that is not answered at once finds a line that is dead", async () => {
  const { url, peers } = await serveSockets((said, peer, number) => {
    if (number > 1) read(said, peer);
  });
  expect(textOf(await all(over(url, { firstSign: 100 }).ask("?")))).toBe(TEXT);
  expect(peers.length).toBeGreaterThan(1);
});

const MEDIA = Buffer.from([0, 10, 255, 13, 10, 0x7b]);

test("media bytes come as they are, in a frame or as base64", async () => {
  const data = { content_type: "image/png", data: "", part: 1 };
  const event = { type: "media", stream: STREAM, position: position(0) };
  const { url } = await serveSockets(
    (said, peer) => {
      peer.say({ type: "started", id: said["id"], stream: STREAM });
      peer.say(Buffer.concat([Buffer.from(JSON.stringify({ ...event, data }) + "\n"), MEDIA]));
      peer.say(message(ANSWER.length - 1));
    },
    (_, response) => {
      const encoded = JSON.stringify({ ...data, data: MEDIA.toString("base64") });
      response.writeHead(200, HEAD);
      response.end(
        `id: ${STREAM}.${position(0)}\nevent: media\ndata: ${encoded}\n\n` +
          `id: ${STREAM}.${position(1)}\nevent: done\ndata: {"status": "completed"}\n\n`,
      );
    },
  );
  for (const transport of ["websocket", "sse"] as const) {
    const [first] = await all(over(url, { transport }).ask("?"));
    expect(first).toEqual({ ...event, data: { ...data, data: new Uint8Array(MEDIA) } });
  }
});

test.each(["oops", '"text"', "null"])(
  "a frame that is no message is refused: %s",
  async (frame) => {
    const { url } = await serveSockets((_, peer) => peer.socket.send(frame));
    await expect(all(over(url).ask("?"))).rejects.toMatchObject({ code: "protocol" });
  },
);

test("what a slow reader cannot take is left with the server", async () => {
  const count = 40;
  let reading = 0;
  const { url, peers } = await serveSockets(async (said, peer) => {
    const own = (reading += 1); // a `detach`, as any later message, ends what was being sent
    if (said["type"] === "detach") return;
    const type = said["type"] === "attach" ? "attached" : "started";
    peer.say({ type, id: said["id"], stream: STREAM });
    for (let index = after(said); index < count && own === reading; index += 1) {
      const done = index === count - 1;
      const data = done ? { status: "completed" } : { token: "x".repeat(100_000) };
      peer.say({ type: done ? "done" : "token", stream: STREAM, position: position(index), data });
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  let received = 0;
  for await (const event of over(url).ask("?")) {
    if (received === 0)
      await vi.waitFor(() => expect(peers[0]!.said.at(-1)!["type"]).toBe("detach"), WAIT);
    expect(event.position).toBe(position(received));
    received += 1;
  }
  expect(received).toBe(count);
  expect(peers).toHaveLength(1);
  expect(peers[0]!.said.slice(0, 3).map(({ type }) => type)).toEqual(["chat", "detach", "attach"]);
});

test("another credential is given on the socket that is open", async () => {
  let key = "old";
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "chat") read(said, peer, said["message"] === "one" ? 1 : undefined);
  });
  const fairlead = over(url, { apiKey: () => key });
  const one = fairlead.ask("one")[Symbol.asyncIterator]();
  await one.next();
  key = "new";
  await all(fairlead.ask("two"));
  expect(peers).toHaveLength(1);
  expect(peers[0]!.said.map(({ type, token = "" }) => `${type} ${token}`)).toEqual([
    "chat ",
    "authenticate new",
    "chat ",
  ]);
});

test("a socket that cannot be opened is not tried for ever", async () => {
  const { url, asked } = await serve((_, response) => response.writeHead(403).end());
  await expect(all(over(url, { maxRetries: 2 }).ask("?"))).rejects.toMatchObject({
    code: "unreachable",
  });
  expect(asked.map(({ url }) => url)).toEqual(Array(3).fill("/ws"));
});

test("an abort ends the opening, and a wait for what is to be interrupted", async () => {
  const { url } = await serveSockets(() => undefined);
  const controller = new AbortController();
  const { signal } = controller;
  const fairlead = over(url);
  const first = fairlead.ask("?", { signal });
  const reading = all(first);
  const second = all(first.interrupt("!", { signal }));
  controller.abort(new Error("enough"));
  await expect(reading).rejects.toThrow("enough");
  await expect(second).rejects.toThrow("enough");
});
