// The component Chat in Chromium: node chat.mjs URL
//
// Asks, and asks on when text has come. Prints what is then shown: [[role, status, text], …].
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { launch } from "../js/chromium.mjs";

const from = (path) => createRequire(new URL(path, import.meta.url));
const { build } = from("../../clients/typescript/package.json")("esbuild");

const page_of_a_user = `
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { Fairlead } from "./dist/index.js";
import { Chat } from "./dist/react/index.js";

const client = new Fairlead();
const place = document.createElement("div");
document.body.replaceChildren(place);
createRoot(place).render(createElement(Chat, { client }));
`;
const bundle = await build({
  stdin: {
    contents: page_of_a_user,
    resolveDir: fileURLToPath(new URL("../../clients/typescript", import.meta.url)),
  },
  bundle: true,
  format: "iife",
  define: { "process.env.NODE_ENV": '"production"' },
  write: false,
});
const browser = await launch();
const context = await browser.newContext({ bypassCSP: true });
const page = await context.newPage();
await page.goto(process.argv[2]);
await page.addScriptTag({ content: bundle.outputFiles[0].text });
const input = page.locator("textarea");
await input.fill("Count.");
await input.press("Enter");
await page.locator('[data-role="assistant"] [data-fairlead="text"]').waitFor();
await page.getByRole("button", { name: "Stop" }).waitFor();
await input.fill("Anew!");
await input.press("Enter");
await page.locator('[data-role="assistant"][data-status="completed"]').waitFor();
const shown = await page.locator('[data-fairlead="message"]').evaluateAll((messages) =>
  messages.map(({ dataset, textContent }) => [dataset.role, dataset.status, textContent]),
);
await browser.close();
process.stdout.write(JSON.stringify(shown));
