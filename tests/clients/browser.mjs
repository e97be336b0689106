// The built TypeScript client in Chromium, in the files that a bundler makes of it: node browser.mjs URL
//
// Prints what answers came to over each transport, and an answer that was interrupted after its
// first text, which was "shown", with the one that followed: {"sse": {…}, …, "interrupted": [{…}, {…}]}.
// "fetched" counts the client's files, by the transport after whose answer they had been fetched.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { launch } from "../js/chromium.mjs";

const from = (path) => createRequire(new URL(path, import.meta.url));
const { build } = from("../../clients/typescript/package.json")("esbuild");

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("../../clients/typescript/dist/index.js", import.meta.url))],
  bundle: true,
  format: "esm",
  splitting: true,
  outdir: "/client",
  write: false,
});
const files = new Map(bundle.outputFiles.map(({ path, text }) => [path, text]));
const browser = await launch();
const context = await browser.newContext({ bypassCSP: true });
const page = await context.newPage();
await page.goto(process.argv[2]);
await page.route("**/client/*", (route) => {
  const body = files.get(new URL(route.request().url()).pathname);
  return route.fulfill({ body, contentType: "text/javascript", status: body ? 200 : 404 });
});
const seen = await page.evaluate(async () => {
  const { Fairlead } = await import("/client/index.js");
  const count = () =>
    performance.getEntriesByType("resource").filter(({ name }) => name.includes("/client/")).length;
  const apiKey = "k(1)/2";
  const told = async (make, onChange) => {
    const transports = new Set();
    const answer = make(({ transport }) => transports.add(transport));
    const { status, text } = await answer.result((state) => onChange?.(state, answer));
    return { status, text, transports: [...transports] };
  };
  const seen = { fetched: {} };
  for (const transport of ["sse", "websocket", "poll"]) {
    const fairlead = new Fairlead({ apiKey, transport });
    seen[transport] = await told((onConnection) => fairlead.ask("Go on.", { onConnection }));
    seen.fetched[transport] = count();
  }
  let next;
  const fairlead = new Fairlead({ apiKey });
  const first = await told(
    (onConnection) => fairlead.ask("Count.", { onConnection }),
    ({ text }, answer) => {
      if (!text || next) return;
      seen.shown = text;
      next = told((onConnection) => answer.interrupt("Anew!", { onConnection }));
    },
  );
  seen.interrupted = [first, await next];
  return seen;
});
await browser.close();
process.stdout.write(JSON.stringify(seen));
