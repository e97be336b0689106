import { expect, test } from "vitest";
import { Admin } from "../src/admin.js";
import { json, serve } from "./support.js";

test("an operator sees and changes what there is", async () => {
  const { url, asked } = await serve(({ url }, response) => {
    if (url.includes("format=csv")) return response.writeHead(200).end("day,consumer\n");
    return json(response, { budgets: [], url });
  });
  const admin = new Admin({ baseUrl: url, apiKey: "k" });
  await admin.overview();
  await admin.overview({ search: "a b", state: "", sort: "rate", backwards: false, limit: 5 });
  await admin.overview({ state: "queued", backwards: true });
  await admin.stop("s/1");
  expect(await admin.budgets(3)).toEqual([]);
  await admin.usage({ by: "model", since: "2026-11-01" });
  expect(await (await admin.usageTable({ by: "day" })).text()).toBe("day,consumer\n");
  await admin.keys({ consumer: "alice", cursor: null });
  await admin.createKey({ consumer: "alice", scopes: ["ask"] });
  await admin.rotateKey("k1");
  await admin.rotateKey("k1", 0);
  await admin.revokeKey("k1");
  await admin.audit({ action: "key", cursor: "9", limit: 10 });
  expect(asked.map(({ method, url, body }) => [method, url, body])).toEqual([
    ["GET", "/admin/overview", ""],
    ["GET", "/admin/overview?search=a+b&sort=rate&limit=5", ""],
    ["GET", "/admin/overview?state=queued&backwards=true", ""],
    ["POST", "/admin/streams/s%2F1/stop", ""],
    ["GET", "/admin/budgets?limit=3", ""],
    ["GET", "/admin/usage?by=model&since=2026-11-01", ""],
    ["GET", "/admin/usage?by=day&format=csv", ""],
    ["GET", "/admin/keys?consumer=alice", ""],
    ["POST", "/admin/keys", '{"consumer":"alice","scopes":["ask"]}'],
    ["POST", "/admin/keys/k1/rotate", "{}"],
    ["POST", "/admin/keys/k1/rotate", '{"overlap":0}'],
    ["DELETE", "/admin/keys/k1", ""],
    ["GET", "/admin/audit?action=key&cursor=9&limit=10", ""],
  ]);
  expect(asked.every(({ headers }) => headers["authorization"] === "Bearer k")).toBe(true);
});

test("to others there is nothing", async () => {
  const { url } = await serve((_, response) =>
    json(response, { error: "there is nothing", code: "not_found" }, 404),
  );
  await expect(new Admin({ baseUrl: url }).overview()).rejects.toMatchObject({
    code: "not_found",
  });
});
