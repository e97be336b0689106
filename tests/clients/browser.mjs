// The built TypeScript client in Chromium: node browser.mjs URL
//
// Prints what answers over each transport came to: {"sse": {…}, "poll": {…}}.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const from = (path) => createRequire(new URL(path, import.meta.url));
const { chromium } = from("../js/package.json")("playwright-core");
const { build } = from("../../clients/typescript/package.json")("esbuild");

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("../../clients/typescript/dist/index.js", import.meta.url))],
  bundle: true,
  format: "iife",
  globalName: "client",
  write: false,
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const context = await browser.newContext({ bypassCSP: true });
const page = await context.newPage();
await page.goto(process.argv[2]);
await page.addScriptTag({ content: bundle.outputFiles[0].text });
const seen = await page.evaluate(async () => {
  const { Fairlead } = globalThis.client;
  const seen = {};
  for (const transport of ["sse", "poll"]) {
    const { status, text } = await new Fairlead({ transport }).ask("Go on.").result();
    seen[transport] = { status, text };
  }
  return seen;
});
await browser.close();
process.stdout.write(JSON.stringify(seen));
