const NAMES = ["SSE", "WebSocket", "Long poll", "NDJSON", "Connect"];

const lane = (page, name) => page.locator(".lane", { has: page.getByRole("heading", { name, exact: true }) });

/** Wait until every line has brought a word. */
const came = async (page, word) => {
  for (const name of NAMES) {
    await lane(page, name).locator(".lane-text", { hasText: word }).waitFor();
  }
};

const begin = async (v) => {
  await v.page.getByRole("link", { name: "Lab" }).click();
  await v.page.getByLabel("Question", { exact: true }).fill("Go on and on.");
  await v.button("Ask and measure").click();
};

const saved = async (page, name) => {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name }).click(),
  ]);
  const { readFile } = await import("node:fs/promises");
  return await readFile(await download.path(), "utf8");
};

/** An answer over all lines, which are cut as often as there are places. */
export async function run({ visit, checkpoint, options }) {
  const v = await visit();
  const { page } = v;
  const scripts = () =>
    page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  await v.question.waitFor();
  const before = await scripts();
  await begin(v);
  for (const word of options.places) {
    await checkpoint("go");
    await came(page, word);
    await v.button("Cut the lines").click();
  }
  await checkpoint("go");
  await page.locator(".results").waitFor();
  const lanes = {};
  for (const name of NAMES) {
    const one = lane(page, name);
    lanes[name] = {
      text: await one.locator(".lane-text").innerText(),
      end: await one.locator(".lane-end").innerText(),
    };
  }
  const after = await scripts();
  const result = {
    lanes,
    said: await page.getByRole("status").innerText(),
    verdict: await page.locator(".verdict").innerText(),
    rows: await page.locator(".figures tbody tr").allInnerTexts(),
    plots: await page.locator(".lab-plot canvas").count(),
    json: JSON.parse(await saved(page, "Download JSON")),
    csv: await saved(page, "Download CSV"),
    lazily: !before.some((name) => /Lab-/.test(name)) && after.some((name) => /Lab-/.test(name)),
    foreign: v.foreign,
  };
  // Back where one was, without a trace of the question.
  await page.getByRole("link", { name: "Chat" }).click();
  await page.locator(".welcome").waitFor();
  await page.getByText("Your conversations appear here.").waitFor();
  return result;
}

/** Left in mid-answer: nobody reads it any more. */
export async function left({ visit, checkpoint }) {
  const v = await visit();
  await begin(v);
  await checkpoint("asked");
  await came(v.page, "word4");
  await v.page.getByRole("link", { name: "Chat" }).click();
  await v.page.locator(".welcome").waitFor();
  await checkpoint("left");
  return {};
}

/** Refused, it says why, and can be tried again. */
export async function refused({ visit }) {
  const v = await visit();
  await begin(v);
  await v.page.locator(".problem").waitFor();
  const said = await v.page.locator(".problem > p").innerText();
  await v.button("Measure again").click();
  await v.page.locator(".results").waitFor();
  const verdict = await v.page.locator(".verdict").innerText();
  return { said, lanes: await v.page.locator(".lane").count(), verdict };
}
