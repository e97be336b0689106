// Chromium for scripts, on a machine that may be busy with many of them.

import { chromium } from "playwright-core";

/** Milliseconds after which something will not come any more. */
const PATIENCE = 90_000;

/** A browser whose pages wait with patience. `args` are further flags of Chromium. */
export async function launch(args = []) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", ...args],
    timeout: PATIENCE,
  });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(PATIENCE);
    context.on("page", (page) => {
      const wait = page.waitForFunction.bind(page);
      // By a timer: while other pages are in front, a page may be given no frames to draw.
      page.waitForFunction = (is, argument, options) =>
        wait(is, argument, { polling: 50, ...options });
    });
    return context;
  };
  return browser;
}
