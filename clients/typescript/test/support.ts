import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { Fairlead, type AnswerEvent, type ClientOptions } from "../src/index.js";

/** A request that a test's server got. */
export interface Asked {
  method: string;
  /** Path and query. */
  url: string;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

export type Handler = (asked: Asked, response: ServerResponse, number: number) => unknown;

/** A server that does what the test says, down to single bytes; ends with the test. */
export async function serve(handler: Handler): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = "", url = "", headers } = request;
      const got = { method, url, headers, body };
      asked.push(got);
      return handler(got, response, asked.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** A client that waits for nothing. */
export function client(baseUrl: string, options: ClientOptions = {}): Fairlead {
  return new Fairlead({ baseUrl, maxDelay: 0, ...options });
}

export const STREAM = "5h2m7k0000000000000000000a";
export const TOKENS = ["Fähr", "leine ", "导缆孔", "：line ", "🚢", "\n\n", "e\u0301nd", "\u2028."];
export const TEXT = TOKENS.join("");

/** The events of a whole answer: type and data; the n-th stands at position `1n`. */
export const ANSWER: [string, Record<string, unknown>][] = [
  ["thinking", { status: "retrieving", message: "检索中…", stream: STREAM, message_id: "m1" }],
  ["sources", { count: 1, sources: [{ id: "s1", title: "Täu", address: "https://x.test" }] }],
  ...TOKENS.map((token): [string, Record<string, unknown>] => ["token", { token }]),
  ["usage", { input_tokens: 3, output_tokens: 8, estimated: false }],
  ["done", { status: "completed" }],
];

export const position = (index: number) => `1${String(index).padStart(3, "0")}`;

/** One event in the event-stream format. */
export function block(index: number, newline = "\n"): string {
  const [type, data] = ANSWER[index]!;
  const lines = [`id: ${STREAM}.${position(index)}`, `event: ${type}`];
  return [...lines, `data: ${JSON.stringify(data)}`, "", ""].join(newline);
}

/** The body after so many events, as the server sends it. */
export function body(from = 0, newline = "\n"): string {
  const blocks = ANSWER.slice(from).map((_, index) => block(from + index, newline));
  return `retry: 5${newline}: heartbeat${newline}` + blocks.join(`: heartbeat${newline}`);
}

/** How many events a request has seen. */
export function seen(asked: Asked): number {
  const id = String(asked.headers["last-event-id"] ?? "");
  const after = id.split(".")[1] ?? new URL(asked.url, "http://x").searchParams.get("after") ?? "";
  return after ? Number(after.slice(1)) + 1 : 0;
}

export const HEAD = { "Content-Type": "text/event-stream", "Fairlead-Stream": STREAM };

/** Send bytes of a body that is then cut off. */
export function cut(response: ServerResponse, bytes: Uint8Array | string): void {
  response.writeHead(200, HEAD);
  response.write(bytes, () => response.socket?.destroy());
  response.flushHeaders();
}

/** Answer a long poll. */
export function batch(response: ServerResponse, from: number, to = ANSWER.length): void {
  const events = ANSWER.slice(from, to).map(([type, data], index) => ({
    type,
    stream: STREAM,
    position: position(from + index),
    data,
  }));
  const last = events.at(-1)?.position ?? "";
  const closed = to === ANSWER.length;
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ stream: STREAM, events, position: last, closed }));
}

export async function all(events: AsyncIterable<AnswerEvent>): Promise<AnswerEvent[]> {
  const found: AnswerEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

export function textOf(events: readonly AnswerEvent[]): string {
  return events.map((event) => (event.type === "token" ? event.data.token : "")).join("");
}
