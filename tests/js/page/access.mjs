import { createRequire } from "node:module";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export async function serious(page) {
  // Its source is given to the page by the driver, past the page's own policy.
  const { readFile } = await import("node:fs/promises");
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 200))]);
}

/** Every state of the page, light and dark. */
export async function axe({ visit, options }) {
  const found = {};
  for (const colorScheme of ["light", "dark"]) {
    const v = await visit({ colorScheme });
    const { page } = v;
    const look = async (name) => (found[`${colorScheme} ${name}`] = await serious(page));
    await look("welcome");
    await v.ask(options.question);
    await v.ended();
    await v.answer.hover();
    await look("answer");
    await v.answer.locator(".cite").first().click();
    await page.locator(".passage mark").waitFor();
    await look("passage");
    await page.keyboard.press("Escape");
    await v.button("Settings of this conversation").click();
    await look("settings");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+/");
    await page.getByRole("dialog").waitFor();
    await look("keys");
    await page.keyboard.press("Escape");
    await page.locator(".question").hover();
    await v.button("Edit", { exact: true }).click();
    await look("editing");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 390, height: 844 });
    await v.button("Open the list of conversations").click();
    await look("list on a phone");
    await page.getByRole("link", { name: "Lab" }).click();
    await v.button("Ask and measure").click();
    await page.locator(".results").waitFor();
    await look("lab on a phone");
    await page.setViewportSize({ width: 1280, height: 800 });
    await look("lab");
    await v.context.close();
  }
  return { found };
}

/** All of it by keyboard. */
export async function keyboard({ visit }) {
  const v = await visit();
  const { page } = v;
  const focused = () =>
    page.evaluate(() => {
      const at = document.activeElement;
      return at.id || at.getAttribute("aria-label") || at.textContent;
    });
  // The page puts it there as soon as it stands; a person would wait as well.
  await page.waitForFunction(() => document.activeElement.id === "question");
  const begins = await focused();
  await page.keyboard.type("Hello there");
  await page.keyboard.press("Enter");
  await v.ended();
  const order = [];
  await page.evaluate(() => document.activeElement.blur());
  for (let n = 0; n < 22; n += 1) {
    await page.keyboard.press("Tab");
    order.push(await focused());
  }
  await page.keyboard.press("Control+k");
  await page.waitForFunction(() => document.activeElement.id === "search");
  const search = await focused();
  await page.keyboard.press("Control+Shift+O");
  await page.locator(".welcome").waitFor();
  await page.waitForFunction(() => document.activeElement.id === "question");
  return { begins, order, search, ends: await focused() };
}

/** What a screen reader is told while an answer is written. */
export async function announced({ visit, checkpoint }) {
  const v = await visit();
  const { page } = v;
  await v.question.waitFor();
  await page.evaluate(() => {
    globalThis.said = [];
    const region = document.querySelector("[data-announcer]");
    new MutationObserver(() => globalThis.said.push(region.textContent)).observe(region, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  await v.ask("Go on.");
  await checkpoint("asked");
  await v.ended();
  await page.waitForFunction(() => globalThis.said.at(-1)?.includes("complete"));
  const live = await page.locator("[aria-live]:not([aria-live=off]), [role=status]").count();
  return { said: await page.evaluate(() => globalThis.said), live };
}

export async function phone({ visit }) {
  const v = await visit({
    locale: "zh-CN",
    viewport: { width: 360, height: 740 },
    hasTouch: true,
    isMobile: true,
  });
  const { page } = v;
  await v.ask("宽");
  await v.ended();
  const result = {
    lang: await page.evaluate(() => document.documentElement.lang),
    placeholder: await v.question.getAttribute("placeholder"),
    overflow: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    composer: await page.evaluate(
      () => document.querySelector(".composer").getBoundingClientRect().bottom - innerHeight,
    ),
  };
  const list = page.getByRole("navigation", { name: "对话" });
  result.hidden = await list.isHidden();
  await page.getByRole("button", { name: "打开对话列表" }).click();
  await list.waitFor();
  result.shown = true;
  await page.getByRole("link", { name: "新对话" }).click();
  await page.locator(".welcome").waitFor();
  result.path = new URL(page.url()).pathname;
  return result;
}

export async function wide({ visit }) {
  const v = await visit({ viewport: { width: 2400, height: 1200 } });
  await v.ask("Hello");
  await v.ended();
  return { width: await v.answer.evaluate((node) => node.getBoundingClientRect().width) };
}

/** A long conversation: what stands there at once, and later. */
export async function long({ visit, options }) {
  const v = await visit({ path: `/#/c/${options.conversation}` });
  const { page } = v;
  await page.addInitScript(() => {
    new MutationObserver(() => {
      globalThis.first ||= document.querySelectorAll("article").length;
    }).observe(document, { childList: true, subtree: true });
  });
  await page.reload();
  await page.locator("article").first().waitFor();
  const end = await page.evaluate(() => {
    const list = document.querySelector(".messages");
    return list.scrollHeight - list.clientHeight - list.scrollTop;
  });
  await page.waitForFunction((count) => document.querySelectorAll("article").length === count, 500);
  const later = await page.evaluate(() => {
    const list = document.querySelector(".messages");
    return list.scrollHeight - list.clientHeight - list.scrollTop;
  });
  const first = await page.evaluate(() => globalThis.first);
  return { first, end, later, last: await v.text() };
}

/** A long answer: what of it changes while it is written on. */
export async function pace({ visit, checkpoint }) {
  const v = await visit({ reducedMotion: "no-preference" });
  const { page } = v;
  await v.ask("A long one.");
  await page.locator(".prose p").first().waitFor();
  await page.locator(".prose p").first().evaluate((node) => (node.dataset.kept = "yes"));
  await page.locator(".prose p").nth(20).waitFor();
  const kept = await page.locator('.prose [data-kept="yes"]').count();
  await page.evaluate(() => {
    const prose = document.querySelector(".prose");
    globalThis.behind = 0;
    new MutationObserver((records) => {
      // Of a long text the last blocks change, and those that were there before them do not.
      const settled = new Set([...prose.querySelectorAll(".group > *")].slice(0, -4));
      globalThis.settled?.forEach((block) => !settled.has(block) && (globalThis.behind += 1));
      for (const { target } of records) {
        let block = target;
        while (block && block.parentNode?.className !== "group") block = block.parentNode;
        if (block && globalThis.settled?.has(block)) globalThis.behind += 1;
      }
      globalThis.settled = settled;
    }).observe(prose, { childList: true, characterData: true, attributes: true, subtree: true });
  });
  await checkpoint("watched");
  await v.ended();
  return {
    kept,
    behind: await page.evaluate(() => globalThis.behind),
    settled: await page.evaluate(() => globalThis.settled?.size ?? 0),
    // Of what nobody sees `innerText` tells nothing.
    length: await v.answer.locator(".prose").evaluate((node) => node.textContent.length),
  };
}
