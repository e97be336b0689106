import { expect, test } from "vitest";
import { Server } from "../src/server.js";
import { json, serve } from "./support.js";

test("a server is asked for what it offers beside answers", async () => {
  const { url, asked } = await serve(({ method, url }, response) => {
    if (method === "DELETE") return response.writeHead(204).end();
    if (url.includes("/attachments/")) return response.writeHead(200).end("bytes");
    return json(response, { budgets: [], url });
  });
  const server = new Server({ baseUrl: url, apiKey: "k" });
  await server.conversations({ search: "a b", cursor: "1~x", limit: 5 });
  await server.rename("c/1", "New");
  await server.remove("c1");
  expect(await (await server.attachment("c1", "a1")).text()).toBe("bytes");
  await server.passage("p1", { around: 50 });
  await server.document("my notes.md", "# Notes");
  await server.info();
  await server.models();
  await server.me();
  await server.logout();
  expect(await server.budgets()).toEqual([]);
  expect(asked.map(({ method, url, body }) => [method, url, body])).toEqual([
    ["GET", "/conversations?search=a+b&cursor=1%7Ex&limit=5", ""],
    ["PATCH", "/conversations/c%2F1", '{"title":"New"}'],
    ["DELETE", "/conversations/c1", ""],
    ["GET", "/conversations/c1/attachments/a1", ""],
    ["GET", "/passages/p1?around=50", ""],
    ["PUT", "/documents/my%20notes.md", "# Notes"],
    ["GET", "/info", ""],
    ["GET", "/models", ""],
    ["GET", "/me", ""],
    ["POST", "/logout", ""],
    ["GET", "/budgets", ""],
  ]);
  expect(asked.every(({ headers }) => headers["authorization"] === "Bearer k")).toBe(true);
});

test("a budget that is used up is named", async () => {
  const { url } = await serve((_, response) =>
    json(
      response,
      { error: "used up", code: "budget_exhausted", budget: "day", retry_after: 9 },
      429,
    ),
  );
  await expect(new Server({ baseUrl: url }).info()).rejects.toMatchObject({
    budget: "day",
    retryAfter: 9,
  });
});
