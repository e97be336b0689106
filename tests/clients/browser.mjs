// The built TypeScript client in Chromium: node browser.mjs URL
//
// Prints what answers came to over each transport, and an answer that was interrupted after its
// first text, which was "shown", with the one that followed: {"sse": {…}, …, "interrupted": [{…}, {…}]}.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { launch } from "../js/chromium.mjs";

const from = (path) => createRequire(new URL(path, import.meta.url));
const { build } = from("../../clients/typescript/package.json")("esbuild");

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("../../clients/typescript/dist/index.js", import.meta.url))],
  bundle: true,
  format: "iife",
  globalName: "client",
  write: false,
});
const browser = await launch();
const context = await browser.newContext({ bypassCSP: true });
const page = await context.newPage();
await page.goto(process.argv[2]);
await page.addScriptTag({ content: bundle.outputFiles[0].text });
const seen = await page.evaluate(async () => {
  const { Fairlead } = globalThis.client;
  const apiKey = "k(1)/2";
  const told = async (make, onChange) => {
    const transports = new Set();
    const answer = make(({ transport }) => transports.add(transport));
    const { status, text } = await answer.result((state) => onChange?.(state, answer));
    return { status, text, transports: [...transports] };
  };
  const seen = {};
  for (const transport of ["sse", "websocket", "poll"]) {
    const fairlead = new Fairlead({ apiKey, transport });
    seen[transport] = await told((onConnection) => fairlead.ask("Go on.", { onConnection }));
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
