import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";
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
export async function serve(
  handler: Handler,
): Promise<{ url: string; asked: Asked[]; server: Server }> {
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
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, server };
}

/** A message of a client on a WebSocket. */
export type Said = Record<string, string>;

/** One WebSocket at a test's server. */
export interface Peer {
  socket: WebSocket;
  /** The subprotocols that the client offered, and the path that it asked for. */
  protocols: string[];
  url: string;
  said: Said[];
  /** Say something: an object as JSON, bytes as they are. */
  say(message: object): void;
}

/** A WebSocket server that does what the test says; ends with the test. `number` counts sockets. */
export async function serveSockets(
  hear: (said: Said, peer: Peer, number: number) => unknown,
  handler: Handler = (_, response) => {
    response.writeHead(404);
    response.end();
  },
): Promise<{ url: string; peers: Peer[]; asked: Asked[] }> {
  const peers: Peer[] = [];
  const { url, asked, server } = await serve(handler);
  new WebSocketServer({ server }).on("connection", (socket, request) => {
    const number = peers.length + 1;
    const peer: Peer = {
      socket,
      protocols: (request.headers["sec-websocket-protocol"] ?? "").split(","),
      url: request.url ?? "",
      said: [],
      say: (message) => socket.send(Buffer.isBuffer(message) ? message : JSON.stringify(message)),
    };
    peers.push(peer);
    socket.on("message", (data: Buffer) => {
      const said = JSON.parse(data.toString()) as Said;
      peer.said.push(said);
      hear(said, peer, number);
    });
  });
  return { url, peers, asked };
}

/** The event at an index as a message. */
export function message(index: number, stream = STREAM): object {
  const [type, data] = ANSWER[index]!;
  return { type, stream, position: position(index), data };
}

/** How many events a client has seen that attaches. */
export const after = ({ after = "" }: Said): number => (after ? Number(after.slice(1)) + 1 : 0);

/** What `chat` and `attach` are answered with: the request's own answer and events up to `to`. */
export function read(said: Said, peer: Peer, to = ANSWER.length, stream = STREAM): void {
  const type = said["type"] === "attach" ? "attached" : "started";
  peer.say({ type, stream, id: said["id"], data: {} });
  for (let index = after(said); index < to; index += 1) peer.say(message(index, stream));
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

/** Answer with JSON. */
export const json = (response: ServerResponse, value: object, status = 200): void => {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
};

export async function all(events: AsyncIterable<AnswerEvent>): Promise<AnswerEvent[]> {
  const found: AnswerEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

export function textOf(events: readonly AnswerEvent[]): string {
  return events.map((event) => (event.type === "token" ? event.data.token : "")).join("");
}
