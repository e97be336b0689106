import { expect, test } from "vitest";
import { WebSocket } from "ws";
import {
  all,
  body,
  client,
  HEAD,
  json,
  read,
  serve,
  serveSockets,
  TEXT,
  textOf,
} from "./support.js";

const PICTURE = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7) % 256);
const attachments = [
  { type: "image/png", data: PICTURE, name: "chart.png" },
  { type: "text/plain", data: new TextEncoder().encode("Fähr") },
];

test("attachments go along with a question over HTTP, as JSON has them", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(body());
  });
  expect(textOf(await all(client(url).ask("What is this?", { attachments })))).toBe(TEXT);
  const sent = JSON.parse(asked[0]!.body) as { attachments: object[] };
  expect(sent.attachments).toEqual([
    {
      type: "image/png",
      data: Buffer.from(PICTURE).toString("base64"),
      name: "chart.png",
    },
    { type: "text/plain", data: Buffer.from("Fähr").toString("base64") },
  ]);
});

test("attachments go along with a question over a WebSocket, as bytes before it", async () => {
  const frames: Buffer[] = [];
  const { url, peers } = await serveSockets((said, peer) => {
    if (said["type"] === "chat") read(said, peer);
  });
  const { url: proxied } = { url };
  const fairlead = client(proxied, {
    transport: "websocket",
    WebSocket: class extends WebSocket {
      override send(data: never) {
        if ((data as unknown) instanceof Uint8Array) frames.push(Buffer.from(data));
        else super.send(data);
      }
    } as never,
  });
  expect(textOf(await all(fairlead.ask("What is this?", { attachments })))).toBe(TEXT);
  const asked = peers[0]!.said.find(({ type }) => type === "chat")!;
  const end = frames[0]!.indexOf(10);
  const head = JSON.parse(frames[0]!.subarray(0, end).toString()) as { id: string };
  expect(head).toEqual({
    type: "attachment",
    id: head.id,
    data: { content_type: "image/png", name: "chart.png" },
  });
  expect(frames[0]!.subarray(end + 1).equals(Buffer.from(PICTURE))).toBe(true);
  expect(asked["attachments"]).toEqual(
    frames.map(
      (frame) => (JSON.parse(frame.subarray(0, frame.indexOf(10)).toString()) as typeof head).id,
    ),
  );
});

test("an attachment that a socket refuses ends the answer with its error", async () => {
  const { url } = await serveSockets((said, peer) => {
    const { attachments } = said as unknown as { attachments?: string[] };
    const data = { error: "too large", code: "too_large", retryable: false };
    if (attachments) peer.say({ type: "error", id: attachments[0], data });
  });
  const fairlead = client(url, {
    transport: "websocket",
    WebSocket: class extends WebSocket {
      override send(data: never) {
        if (!((data as unknown) instanceof Uint8Array)) super.send(data);
      }
    } as never,
  });
  const { error } = await fairlead.ask("What is this?", { attachments }).result();
  expect(error?.code).toBe("too_large");
});

test("another transport may be preferred in the middle of an answer", async () => {
  const { url, asked } = await serve(({ url }, response) => {
    if (url.includes("wait=")) return json(response, { events: [], closed: true, position: "" });
    response.writeHead(200, HEAD);
    response.write(body().slice(0, 400), () => {
      fairlead.prefer("poll");
      response.socket?.destroy();
    });
    return undefined;
  });
  const fairlead = client(url);
  await all(fairlead.ask("Hi"));
  expect(asked.map(({ url }) => url.split("?")[0])).toEqual([
    "/chat/stream",
    expect.stringMatching(/^\/streams\//),
  ]);
  expect(asked[1]!.url).toContain("wait=");
});
