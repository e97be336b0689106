const WIDE = { viewport: { width: 1280, height: 820 } };
const PHONE = {
  viewport: { width: 390, height: 844 },
  isMobile: true,
  hasTouch: true,
};
const LOOKS = { light: WIDE, dark: { ...WIDE, colorScheme: "dark" }, phone: PHONE };

export async function chat({ visit, options }) {
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit(look);
    const shot = (what) => v.page.screenshot({ path: `${options.folder}/${what}-${name}.png` });
    await v.ask("Who built the lighthouse of Skarvoy, and when?");
    await v.wrote("In short");
    await v.button("Cut the line").click();
    await shot("writing");
    await v.ended();
    await v.answer.locator(".hl-keyword").first().waitFor();
    await v.answer.locator(".cite").first().click();
    await v.page.locator(".passage mark").waitFor();
    await shot("source");
    await v.context.close();
  }
  return {};
}

export async function fresh({ visit, options }) {
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit(look);
    await v.page.locator(".notice").waitFor();
    await v.page.screenshot({ path: `${options.folder}/welcome-${name}.png` });
    await v.context.close();
  }
  return {};
}

/** The operator's page: what runs, one that is watched, usage, keys. */
export async function operator({ visit, options }) {
  const tables = { usage: "Usage", keys: "API keys" };
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit(look);
    const { page } = v;
    const shot = (what) => page.screenshot({ path: `${options.folder}/${what}-${name}.png` });
    await page.getByLabel("API key", { exact: true }).fill(options.key);
    await page.keyboard.press("Enter");
    await v.question.waitFor();
    await page.goto(`${v.url}/#/operator`);
    const rows = page.getByRole("table", { name: "Streams" }).locator("tbody tr");
    await rows.nth(options.streams - 1).waitFor();
    await page.locator("[data-budget] progress").first().waitFor();
    await shot("operator");
    await rows.getByRole("button", { name: /^Watch/ }).first().click();
    await page.locator(".watched .prose").waitFor();
    await shot("operator-watch");
    await page.keyboard.press("Escape");
    for (const [part, table] of Object.entries(tables)) {
      await page.goto(`${v.url}/#/operator/${part}`);
      await page.getByRole("table", { name: table }).waitFor();
      if (part === "usage") await page.locator(".plot canvas").waitFor();
      await shot(`operator-${part}`);
    }
    await v.context.close();
  }
  return {};
}

/** The Lab with the figures of a run whose lines were cut once. */
export async function lab({ visit, options }) {
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit({ ...look, path: "/#/lab" });
    const { page } = v;
    await v.button("Ask and measure").click();
    await page.locator(".lane-text", { hasText: "mainland" }).nth(4).waitFor();
    await v.button("Cut the lines").click();
    if (options.all) await page.screenshot({ path: `${options.folder}/lab-${name}-writing.png` });
    await page.locator(".results canvas").first().waitFor();
    const { width, height } = look.viewport;
    // All of it in one picture, or as much as a phone shows at once.
    if (name !== "phone") await page.setViewportSize({ width, height: 1650 });
    await page.screenshot({ path: `${options.folder}/lab-${name}.png` });
    if (options.all) {
      await page.locator(".plots").last().scrollIntoViewIfNeeded();
      await page.screenshot({ path: `${options.folder}/lab-${name}-plots.png` });
      await page.locator(".meanings").scrollIntoViewIfNeeded();
      await page.screenshot({ path: `${options.folder}/lab-${name}-end.png` });
    }
    await page.setViewportSize({ width, height });
    await v.context.close();
  }
  return {};
}
