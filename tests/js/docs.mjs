// Runs the documentation's snippets and the example page in Chromium:
// node docs.mjs '{"url", "slow", "blocks": [{"name", "kind", "code"}], "page": URL, "library": FOLDER}'
//
// Prints one JSON object: what each snippet wrote, by name, and under "page" what the page showed.

import { readFile } from "node:fs/promises";
import { launch } from "./chromium.mjs";

const { url, slow, blocks, page: address, library } = JSON.parse(process.argv[2]);
const browser = await launch();
const seen = {};

async function tryOut({ name, kind, code }) {
  // The page's own policy forbids foreign code, which a snippet here is.
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  await page.route("**/library/*", async (route) => {
    // The library's own imports leave the suffix out.
    const module = route.request().url().split("/").pop().replace(/\.js$/, "");
    const path = `${library}/${module}.js`;
    await route.fulfill({ contentType: "text/javascript", body: await readFile(path) });
  });
  await page.goto(`${url}/`);
  seen[name] = await page.evaluate(run, { kind, code });
  await context.close();
}

/** In the page: the snippet with what it expects around it, until its answer has ended. */
async function run({ kind, code }) {
  const seen = { text: "", shown: [], cited: 0 };
  const write = (text) => (seen.text += text);
  const show = (text) => seen.shown.push(text);
  const cite = (sources) => (seen.cited = sources.length);
  const AsyncFunction = (async () => {}).constructor;
  const snippet = (end) =>
    new AsyncFunction("write", "show", "cite", `${code}\n${end}`)(write, show, cite);
  if (kind === "source") {
    const source = await snippet("return source;");
    await new Promise((resolve) => source.addEventListener("done", resolve));
    // A connection closed by the snippet's own listener, which was there first.
    seen.closed = source.readyState === EventSource.CLOSED;
  } else if (kind === "await") {
    code = code.replace(
      /^import (\{.*\}) from ".*";/,
      'const $1 = await import("/library/index.js");',
    );
    await snippet("");
  } else {
    const stop = await snippet("return stop;");
    const asked = await fetch("/chat/stream?message=How+do+I+stop+an+answer");
    const stream = asked.headers.get("Fairlead-Stream");
    await stop(`${stream}.0`);
    const read = await fetch(`/streams/${stream}`, { headers: { Accept: "application/json" } });
    seen.status = (await read.json()).status;
  }
  return seen;
}

async function usePage() {
  const page = await browser.newPage();
  const visit = (server) => page.goto(`${address}?server=${encodeURIComponent(server)}`);
  const shows = async (status) => {
    const shown = page.locator("#status");
    const is = (text) => document.getElementById("status").textContent === text;
    await page.waitForFunction(is, status).catch(async (error) => {
      throw new Error(`waited for "${status}", saw "${await shown.textContent()}"`, {
        cause: error,
      });
    });
  };
  await visit(url);
  await page.getByRole("button", { name: "Ask" }).click();
  await shows("completed");
  seen.page = { text: await page.locator("#answer").textContent() };
  // Where the answer has not ended by itself before it is stopped.
  await visit(slow);
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForFunction(() => document.getElementById("answer").textContent !== "");
  await page.getByRole("button", { name: "Stop" }).click();
  await shows("stopped");
  seen.page.stopped = true;
}

await Promise.all([...blocks.map(tryOut), usePage()]);
await browser.close();
process.stdout.write(JSON.stringify(seen));
