import { expect, test } from "vitest";
import { Envelopes, errorOf } from "../src/connect.js";
import {
  all,
  ANSWER,
  client,
  json,
  position,
  serve,
  STREAM,
  TEXT,
  textOf,
  type Asked,
} from "./support.js";

const HEAD = { "Content-Type": "application/connect+json", "Fairlead-Stream": STREAM };
const TYPES = ANSWER.map(([type]) => type);

function envelope(message: object, flags = 0): Buffer {
  const data = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

/** The event at an index as an `Event` in JSON. */
function event(index: number): object {
  const [type, data] = ANSWER[index]!;
  const { stream, message_id, ...own } = data;
  const fields: Record<string, object> = {
    thinking: { thinking: own },
    sources: {
      sources: {
        sources: [{ id: "s1", title: "Täu", address: "https://x.test", end: "12", score: 0.5 }],
      },
    },
    token: { token: { text: data["token"] } },
    usage: { json: JSON.stringify(data) as unknown as object },
    done: { done: data },
  };
  return {
    ...{ type, stream: STREAM, position: position(index), ...fields[type] },
    ...(index === 0 && { introduction: { messageId: message_id, conversationId: "c1" } }),
  };
}

const END = envelope({}, 2);

/** The body after so many events. */
const body = (from = 0, to = ANSWER.length): Buffer =>
  Buffer.concat([
    envelope({ type: "heartbeat" }),
    ...ANSWER.slice(from, to).map((_, index) => envelope(event(from + index))),
  ]);

/** What a request's own envelope holds. */
function said(asked: Asked): Record<string, string> {
  const at = asked.body.indexOf("{");
  return JSON.parse(asked.body.slice(at)) as Record<string, string>;
}

const from = (asked: Asked) => {
  const { after = "" } = said(asked);
  return after ? Number(after.slice(1)) + 1 : 0;
};

/** An error's detail, as `fairlead.v1.Error` in binary. */
function detail(error: string, code: string, wait?: number): object {
  const text = (field: number, value: string) => {
    const data = Buffer.from(value);
    return Buffer.concat([Buffer.from([(field << 3) | 2, data.length]), data]);
  };
  const seconds = Buffer.alloc(9, 0x21);
  seconds.writeDoubleLE(wait ?? 0, 1);
  const value = Buffer.concat([
    text(1, error),
    text(2, code),
    Buffer.from([0x18, wait === undefined ? 0 : 1]),
    ...(wait === undefined ? [] : [seconds]),
    text(5, "1003"),
  ]);
  return { type: "fairlead.v1.Error", value: value.toString("base64").replace(/=+$/, "") };
}

const failing = (code: string, ...details: object[]) =>
  envelope({ error: { code, message: "as it says", details } }, 2);

test("a question is asked, and its events are those of every transport", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(Buffer.concat([body(), END]));
  });
  const fairlead = client(url, { transport: "connect", apiKey: "k" });
  const events = await all(
    fairlead.ask("Was?", { parent: "", background: true, key: "once", parameters: { n: 1 } }),
  );
  expect(events.map(({ type }) => type)).toEqual(TYPES);
  expect(events.map(({ position }) => position)).toEqual(ANSWER.map((_, n) => position(n)));
  expect(textOf(events)).toBe(TEXT);
  expect(events[0]!.data).toMatchObject({
    ...{ status: "retrieving", message: "检索中…", stream: STREAM },
    ...{ message_id: "m1", conversation_id: "c1" },
  });
  expect(events[1]!.data).toEqual({
    count: 1,
    sources: [
      {
        ...{ id: "s1", title: "Täu", address: "https://x.test", heading: "", snippet: "" },
        ...{ score: 0.5, span: [0, 12] },
      },
    ],
  });
  expect(events.at(-2)!.data).toEqual(ANSWER.at(-2)![1]);
  expect(asked).toHaveLength(1);
  const [request] = asked;
  expect(request!.url).toBe("/fairlead.v1.Answers/Ask");
  expect(request!.headers).toMatchObject({
    "content-type": "application/connect+json",
    "connect-protocol-version": "1",
    authorization: "Bearer k",
  });
  expect(said(request!)).toEqual({
    ...{ message: "Was?", parent: "", background: true, key: "once", parameters: { n: 1 } },
  });
});

test("a body split anywhere is the same body", async () => {
  const bytes = Buffer.concat([body(), END]);
  const whole = [...new Envelopes().take(bytes)];
  expect(whole).toHaveLength(ANSWER.length + 2);
  for (let at = 0; at <= bytes.length; at += 1) {
    const envelopes = new Envelopes();
    const parts = [bytes.subarray(0, at), bytes.subarray(at)];
    expect(parts.flatMap((part) => [...envelopes.take(part)])).toEqual(whole);
  }
  const dripped = new Envelopes();
  expect([...bytes].flatMap((byte) => [...dripped.take(Uint8Array.of(byte))])).toEqual(whole);
});

test("a connection cut after any byte costs nothing and repeats nothing", async () => {
  const whole = Buffer.concat([body(), END]);
  let at = 0;
  let connections = 0;
  const { url, asked } = await serve((request, response) => {
    connections += 1;
    response.writeHead(200, HEAD);
    if (connections > 1) return response.end(Buffer.concat([body(from(request)), END]));
    response.write(whole.subarray(0, at), () => response.socket?.destroy());
    return response.flushHeaders();
  });
  for (; at < whole.length; at += 7) {
    connections = asked.length = 0;
    const events = await all(client(url, { transport: "connect" }).ask("?"));
    expect(events.map(({ position }) => position)).toEqual(ANSWER.map((_, n) => position(n)));
    expect(textOf(events)).toBe(TEXT);
    const keys = asked.filter(({ url }) => url.endsWith("/Ask")).map((one) => said(one)["key"]);
    expect(new Set(keys).size).toBe(1);
  }
});

test("at the end of a finished answer there is nothing", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(END);
  });
  const answer = client(url, { transport: "connect" }).attach(STREAM, { after: "1999" });
  expect(await all(answer)).toEqual([]);
  expect(asked.map(said)).toEqual([{ stream: STREAM, after: "1999" }]);
});

test("a call that fails says why in the server's words", async () => {
  const { url } = await serve((request, response) => {
    response.writeHead(200, HEAD);
    if (said(request)["message"] === "bare") return response.end(failing("resource_exhausted"));
    return response.end(failing("not_found", { type: "other" }, detail("no such", "not_found")));
  });
  const fairlead = client(url, { transport: "connect" });
  await expect(all(fairlead.ask("?"))).rejects.toMatchObject({
    ...{ code: "not_found", message: "no such", retryable: false, retryAfter: null },
  });
  await expect(all(fairlead.ask("bare"))).rejects.toMatchObject({
    ...{ code: "protocol", message: "as it says" },
  });
});

test("one that may be repeated is, when the server wishes", async () => {
  const waits: number[] = [];
  const { url, asked } = await serve((_, response, number) => {
    response.writeHead(200, HEAD);
    if (number === 1) {
      return response.end(failing("unavailable", detail("later", "busy", 0.01)));
    }
    if (number === 2) {
      const drained = failing("unavailable", detail("restarting", "draining", 0.02));
      return response.end(Buffer.concat([body(0, 3), drained]));
    }
    if (number === 3) {
      return response.end(failing("unavailable", detail("restarting", "draining", 0.03)));
    }
    return response.end(Buffer.concat([body(3), END]));
  });
  const answer = client(url, { transport: "connect", maxDelay: Infinity }).ask("?", {
    onConnection: (state) => state.state === "waiting" && waits.push(state.delay),
  });
  expect(textOf(await all(answer))).toBe(TEXT);
  expect(asked).toHaveLength(4);
  for (const [n, least] of [10, 20, 30].entries()) {
    expect(waits[n]).toBeGreaterThanOrEqual(least);
    expect(waits[n]).toBeLessThanOrEqual(least * 1.25);
  }
});

test("what does not speak Connect is told apart", async () => {
  const { url } = await serve((request, response) => {
    if (said(request)["message"] === "absent") {
      return json(response, { error: "no Connect here", code: "not_found" }, 404);
    }
    if (said(request)["message"] === "coded") {
      response.writeHead(200, HEAD);
      return response.end(envelope({}, 1));
    }
    response.writeHead(200, { "Content-Type": "text/html" });
    return response.end("<html>");
  });
  const fairlead = client(url, { transport: "connect" });
  await expect(all(fairlead.ask("?"))).rejects.toMatchObject({ code: "protocol" });
  await expect(all(fairlead.ask("coded"))).rejects.toMatchObject({ code: "protocol" });
  await expect(all(fairlead.ask("absent"))).rejects.toMatchObject({
    ...{ code: "not_found", message: "no Connect here" },
  });
});

test("a message that is too large is refused before it is read", () => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(17 << 20, 1);
  expect(() => [...new Envelopes().take(head)]).toThrow("too large");
});

test("an error's fields are read in any order, and unknown ones passed over", () => {
  const bytes = Buffer.from([0x18, 1, 0x30, 0x80, 1, 0x12, 4, ...Buffer.from("busy"), 0x3a, 0]);
  expect(errorOf(bytes)).toMatchObject({ code: "busy", retryable: true, retry_after: null });
});
