import { serious } from "./access.mjs";

const rowsOf = (page, name = "Streams") => page.getByRole("table", { name }).locator("tbody tr");

/** Signed in with a key, on the operator's page. */
async function begin(visit, key, settings = {}) {
  const v = await visit({ path: "/#/operator", ...settings });
  await v.page.getByLabel(/^API (key|密钥)$/).fill(key);
  await v.page.keyboard.press("Enter");
  await v.page.locator(".tiles:not([aria-busy=true])").waitFor();
  return v;
}

/** What runs is seen, found, watched, and stopped. */
export async function live({ visit, checkpoint, options }) {
  const v = await begin(visit, options.key);
  const { page } = v;
  const rows = rowsOf(page);
  await rows.nth(2).waitFor();
  const texts = async () =>
    await rows.evaluateAll((all) =>
      all.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.innerText)),
    );
  const result = { hint: options.hint, rows: await texts() };
  result.readers = await rows.filter({ hasText: "alice" }).locator(".readers").innerText();
  result.load = await page.locator('[data-upstream="upstream"] .facts dd').first().innerText();
  await page.locator('[data-budget="daily"] .bars li').first().waitFor();
  result.budget = await page.locator('[data-budget="daily"]').innerText();

  await page.getByRole("button", { name: "Consumer" }).click();
  await page.locator('th[aria-sort="ascending"]', { hasText: "Consumer" }).waitFor();
  await page.waitForFunction(
    () => document.querySelector(".rows tbody tr td:nth-child(2)").innerText === "alice",
    null,
    { polling: 50 },
  );
  await page.getByRole("button", { name: "Consumer" }).click();
  await page.waitForFunction(
    () => document.querySelector(".rows tbody tr td:nth-child(2)").innerText === "carol",
    null,
    { polling: 50 },
  );
  await page.getByLabel("State").selectOption("queued");
  await rows.nth(1).waitFor({ state: "detached" });
  result.queued = await texts();
  await page.getByLabel("State").selectOption("");
  await page.getByLabel("Search streams").fill("nobody at all");
  await page.getByText("No stream matches.").waitFor();
  await page.getByLabel("Search streams").fill("ALI");
  await rows.first().waitFor();
  result.found = await texts();

  await page.getByRole("button", { name: "Watch the answer for alice" }).click();
  const watched = page.locator(".watched");
  await watched.getByText("word4").waitFor();
  await checkpoint("watching");
  await watched.getByText("word9").waitFor();
  result.watched = await watched.innerText();
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  result.focus = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await page.getByRole("button", { name: "Stop the answer for alice" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Stop the answer for alice" }).click();
  await page.getByRole("group", { name: "Stop this answer?" }).getByText("Stop", { exact: true }).click();
  await page.getByText("The answer for alice was stopped.").waitFor({ state: "attached" });
  await rows.first().waitFor({ state: "detached" });
  await checkpoint("stopped");

  await page.getByRole("link", { name: "Usage" }).click();
  const used = rowsOf(page, "Usage");
  await used.first().waitFor();
  result.used = await used.allInnerTexts();
  await page.locator(".plot canvas").waitFor();
  result.chart = await page.locator(".plot").getAttribute("aria-label");
  await page.getByRole("button", { name: "alice" }).click();
  await page.getByRole("button", { name: "Consumer: alice" }).waitFor();
  await used.filter({ hasText: "scripted" }).waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download as CSV" }).click(),
  ]);
  result.file = download.suggestedFilename();
  const { readFile } = await import("node:fs/promises");
  result.csv = await readFile(await download.path(), "utf8");

  await page.getByRole("link", { name: "Audit log" }).click();
  result.audit = await rowsOf(page, "Audit log").allInnerTexts().catch(() => []);
  await rowsOf(page, "Audit log").first().waitFor();
  result.audit = await rowsOf(page, "Audit log").allInnerTexts();
  await page.getByLabel("What").selectOption("key");
  await page.getByText("Nothing was changed yet.").waitFor();
  return { ...result, foreign: v.foreign };
}

/** What another node writes is found with whose it is, watched and stopped. */
export async function nodes({ visit, checkpoint, options }) {
  const v = await begin(visit, options.key);
  const { page } = v;
  const rows = rowsOf(page);
  const theirs = rows.filter({ hasText: "bob" });
  await theirs.waitFor();
  const read = rows.filter({ hasText: "alice" });
  await read.waitFor();
  const said = await page.locator(".nodes").innerText();
  const row = await theirs.innerText();
  const readers = await read.locator(".readers").innerText();
  const unknown = await theirs.locator('[data-label="Readers"]').innerText();
  await page.getByLabel("State").selectOption("elsewhere");
  await rows.filter({ hasText: "carol" }).waitFor({ state: "detached" });
  const found = await rows.locator("td:nth-child(2)").allInnerTexts();
  await page.getByRole("button", { name: "Watch the answer for bob" }).click();
  await page.locator(".watched").getByText("word4").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Stop the answer for bob" }).click();
  await page.getByRole("group", { name: "Stop this answer?" }).getByText("Stop", { exact: true }).click();
  await page.getByText("The answer for bob was stopped.").waitFor({ state: "attached" });
  await theirs.waitFor({ state: "detached" });
  await checkpoint("stopped");
  await page.locator(".nodes").waitFor({ state: "detached" });
  return { said, row, readers, unknown, found };
}

/** On a machine of one's own: at once, without any key; then the first key, a second one, … */
export async function keys({ visit }) {
  const v = await visit();
  const { page } = v;
  await v.question.fill("Begun before");
  await page.goto(`${v.url}/#/operator/keys`);
  await page.getByText("There is no key").waitFor();
  await v.button("New key").click();
  const dialog = page.locator("dialog");
  const warned = await dialog.innerText();
  await dialog.getByLabel("Consumer").fill("not a name");
  await v.button("Make the key").click();
  const wrong = await dialog.getByRole("alert").innerText();
  await dialog.getByLabel("Consumer").fill("me");
  await v.button("Make the key").click();
  const first = await page.locator("[data-made]").innerText();
  await v.button("Sign in with it here").click();
  // The list was there before: this is what tells that the key is in use.
  await v.button("Sign out").waitFor();
  const draft = await page.evaluate(() => localStorage.getItem("fairlead.draft.new"));
  const rows = rowsOf(page, "API keys");
  await rows.first().waitFor();

  await v.button("New key").click();
  await dialog.getByLabel("Consumer").fill("the-app");
  await dialog.getByLabel("Name", { exact: true }).fill("production");
  await dialog.getByLabel("Ends after").selectOption("30");
  await v.button("Make the key").click();
  const second = await page.locator("[data-made]").innerText();
  await v.button("Done").click();
  await rows.nth(1).waitFor();
  const app = rows.filter({ hasText: "the-app" });
  const listed = await app.innerText();
  await app.getByRole("button", { name: /^Rotate/ }).click();
  await app.getByLabel("A new key takes its place").selectOption("3600");
  await app.getByRole("group").getByRole("button", { name: "Rotate" }).click();
  const third = await page.locator("[data-made]").innerText();
  await v.button("Done").click();
  await rows.nth(2).waitFor();
  const replaced = await rows.nth(1).innerText();
  await rows.first().getByRole("button", { name: /^Revoke/ }).click();
  await rows.first().getByRole("group").getByRole("button", { name: "Revoke" }).click();
  await rows.first().getByText("revoked").waitFor();
  await page.getByLabel("Keys of a consumer").fill("me");
  await rows.nth(1).waitFor({ state: "detached" });
  await page.reload();
  await rows.nth(2).waitFor();
  const shown = await page.content();
  await v.button("Sign out").click();
  await page.getByLabel("API key", { exact: true }).waitFor();
  const left = await page.evaluate(() => Object.values({ ...localStorage, ...sessionStorage }));
  const hint = await page.locator("main").innerText();
  return { warned, wrong, texts: [first, second, third], listed, replaced, shown, draft, left, hint };
}

/** To those who may not see it the page says why, and how they may. */
export async function refused({ visit, options }) {
  const v = await visit({ path: "/#/operator" });
  const { page } = v;
  await page.getByLabel("API key", { exact: true }).waitFor();
  const asked = await page.locator("main").innerText();
  await page.getByLabel("API key", { exact: true }).fill(options.alice);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "This page is for operators" }).waitFor();
  const without = await page.locator("main").innerText();
  const links = await page.getByRole("navigation", { name: "Pages" }).innerText();
  await page.getByLabel("API key", { exact: true }).fill(options.operator);
  await page.keyboard.press("Enter");
  await page.locator(".tiles:not([aria-busy=true])").waitFor();
  return { asked, without, links };
}

/** Called by another name than the machine's own, an open server shows nothing to an operator. */
export async function named({ visit, url }) {
  const v = await visit();
  const { page } = v;
  await v.question.waitFor();
  const own = await page.getByRole("navigation", { name: "Pages" }).innerText();
  // Chromium is told where this name leads, as a rebound one would be.
  const foreign = url.replace("127.0.0.1", "rebound.example");
  await page.goto(`${foreign}/#/operator`);
  await page.getByRole("heading", { name: "This page is for operators" }).waitFor();
  const said = await page.locator("main").innerText();
  const status = await page.evaluate(async () => (await fetch("/admin/keys")).status);
  await page.goto(`${foreign}/#/`);
  const note = page.getByText("conversations are listed");
  await note.waitFor();
  const listed = await note.innerText();
  await v.ask("Still a chat?");
  await v.ended();
  return { own, said, status, listed, text: await v.text() };
}

/** It looks by itself while it is looked at, and not otherwise; and again when the line is back. */
export async function looking({ visit, checkpoint }) {
  const v = await visit();
  const { page } = v;
  await v.question.waitFor();
  await page.clock.install();
  const looks = [];
  page.on("request", (request) => request.url().includes("/admin/overview") && looks.push(1));
  const looked = async (count) => {
    while (looks.length < count) {
      await page.clock.runFor(500);
      // The answer comes by itself; the clock does not bring it.
      await page.evaluate(async () => (await fetch("./info")).text());
    }
  };
  await page.evaluate(() => (location.hash = "#/operator"));
  await page.locator(".tiles:not([aria-busy=true])").waitFor();
  await looked(3);
  const turn = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await turn(true);
  await page.evaluate(async () => (await fetch("./info")).text());
  const before = looks.length;
  await page.clock.runFor(120_000);
  await page.evaluate(async () => (await fetch("./info")).text());
  const away = looks.length - before;
  await turn(false);
  await looked(before + 2);
  await v.button("Pause").click();
  await page.evaluate(async () => (await fetch("./info")).text());
  const held = looks.length;
  await page.clock.runFor(120_000);
  const paused = looks.length - held;
  await v.button("Go on").click();
  await looked(held + 1);
  await checkpoint("kill");
  const lost = page.getByText("The server cannot be reached. What you see is older.");
  while (!(await lost.count())) await page.clock.runFor(500);
  await checkpoint("start");
  while (await lost.count()) await page.clock.runFor(500);
  return { away, paused };
}

/** Every state of it, light and dark, wide and on a phone. */
export async function axe({ visit, options }) {
  const found = {};
  for (const colorScheme of ["light", "dark"]) {
    const v = await begin(visit, options.key, { colorScheme });
    const { page } = v;
    const look = async (name) => (found[`${colorScheme} ${name}`] = await serious(page));
    const go = async (part, table) => {
      await page.goto(`${v.url}/#/operator/${part}`);
      await rowsOf(page, table).first().waitFor();
    };
    await rowsOf(page).first().waitFor();
    await page.locator("[data-budget] progress").first().waitFor();
    await look("live");
    await page.getByRole("button", { name: /^Stop/ }).first().click();
    await look("stopping");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: /^Watch/ }).first().click();
    await page.locator(".watched .prose").waitFor();
    await look("watching");
    await page.keyboard.press("Escape");
    await go("usage", "Usage");
    await page.locator(".plot canvas").waitFor();
    await look("usage");
    await go("keys", "API keys");
    await look("keys");
    await v.button("New key").click();
    await look("new key");
    await page.keyboard.press("Escape");
    await go("audit", "Audit log");
    await look("audit");
    await page.setViewportSize({ width: 390, height: 844 });
    await go("live", "Streams");
    await look("phone");
    await v.button("Sign out").click();
    await page.getByLabel("API key", { exact: true }).waitFor();
    await look("signing in");
    await page.getByLabel("API key", { exact: true }).fill(options.other);
    await page.keyboard.press("Enter");
    await page.locator(".not-here").waitFor();
    await look("not here");
    await v.context.close();
  }
  return { found };
}

/** On a phone, in Chinese, by keyboard. */
export async function phone({ visit, options }) {
  const v = await begin(visit, options.key, {
    locale: "zh-CN",
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    isMobile: true,
  });
  const { page } = v;
  const overflow = {};
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await page.getByRole("table", { name: "流" }).waitFor();
  const title = await page.getByRole("heading", { level: 1 }).innerText();
  for (const part of ["live", "usage", "keys", "audit"]) {
    await page.goto(`${v.url}/#/operator/${part}`);
    await page.locator(".rows tbody tr").first().waitFor();
    overflow[part] = await wide();
  }
  await page.goto(`${v.url}/#/operator`);
  await page.getByRole("table", { name: "流" }).waitFor();
  const order = [];
  await page.evaluate(() => document.activeElement.blur());
  for (let n = 0; n < 24; n += 1) {
    await page.keyboard.press("Tab");
    order.push(
      await page.evaluate(() => {
        const at = document.activeElement;
        return at.getAttribute("aria-label") || at.innerText || at.getAttribute("placeholder") || "";
      }),
    );
  }
  return { title, overflow, order };
}
