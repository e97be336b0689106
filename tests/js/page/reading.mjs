export async function cited({ visit }) {
  const permissions = ["clipboard-read", "clipboard-write"];
  const v = await visit({ permissions });
  const { page } = v;
  const notice = await page.locator(".notice").innerText();
  await v.ask("When was the lighthouse of Skarvoy built?");
  await v.ended();
  const passages = [];
  page.on("request", (request) => request.url().includes("/passages/") && passages.push(1));
  const before = passages.length;
  await v.answer.locator(".cite").first().click();
  await page.locator(".passage mark").waitFor();
  const result = {
    notice,
    before,
    fetched: passages.length,
    text: await v.text(),
    chips: await v.answer.locator(".sources li").count(),
    heading: await page.locator(".passage header").innerText(),
    marked: await page.locator(".passage mark").innerText(),
    document: await page.locator(".passage .document").innerText(),
    focused: await page.evaluate(() => document.activeElement.className),
  };
  await page.keyboard.press("Escape");
  await page.locator(".passage").waitFor({ state: "detached" });
  result.returned = await page.evaluate(() => document.activeElement.className);
  await v.answer.getByRole("button", { name: "Copy", exact: true }).click();
  await v.answer.getByRole("button", { name: "Copied" }).waitFor();
  result.copied = await page.evaluate(() => navigator.clipboard.readText());
  result.foreign = v.foreign;
  return result;
}

/** As the page shows it while it comes, at its end, and when it is opened anew. */
export async function markdown({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Show me everything.");
  await v.wrote("Title");
  await v.page.locator(".prose h3").evaluate((node) => (node.dataset.kept = "yes"));
  await checkpoint("begun");
  await v.ended();
  const html = async () => {
    await v.answer.locator(".hl-keyword").first().waitFor();
    return await v.answer.locator(".prose").evaluate((node) => {
      const copy = node.cloneNode(true);
      for (const each of copy.querySelectorAll("[data-kept]")) each.removeAttribute("data-kept");
      return copy.innerHTML;
    });
  };
  const grown = await html();
  const kept = await v.page.locator('.prose h3[data-kept="yes"]').count();
  await v.page.reload();
  await v.answer.waitFor();
  return { grown, kept, opened: await html() };
}

export async function reasoning({ visit }) {
  const v = await visit();
  await v.ask("Think.");
  await v.ended();
  const details = v.answer.locator(".reasoning");
  const folded = await details.evaluate((node) => !node.open);
  await details.locator("summary").click();
  return { folded, said: await details.locator("div").innerText(), text: await v.text() };
}

/** An answer that a program writes: all that is done before and beside its text. */
export async function task({ visit, checkpoint, options }) {
  const v = await visit({ path: `/#/c/${options.conversation}` });
  const said = [];
  for (const words of options.thinking) {
    await checkpoint("next");
    await v.page.locator(".thinking", { hasText: words }).waitFor();
    said.push(words);
  }
  await checkpoint("next");
  const bar = v.page.locator(".progress progress");
  await bar.waitFor();
  const half = { value: await bar.evaluate((node) => node.value) };
  half.words = await v.page.locator(".progress").innerText();
  await checkpoint("next");
  const picture = v.page.locator("img.media");
  await picture.waitFor();
  const size = await picture.evaluate(async (node) => {
    await node.decode();
    return [node.naturalWidth, node.naturalHeight];
  });
  await checkpoint("next");
  await v.ended();
  return { said, half, size, text: await v.text(), bars: await bar.count() };
}

/** What the model calls, folded away. */
export async function tools({ visit }) {
  const v = await visit();
  await v.ask("Look it up.");
  await v.ended();
  const calls = v.answer.locator(".tools li");
  const shown = await calls.locator("summary").allInnerTexts();
  const folded = await calls.first().locator("details").evaluate((node) => !node.open);
  await calls.first().locator("summary").click();
  return { shown, folded, arguments: await calls.first().locator("pre").innerText() };
}

/** Code that is copied as it is. */
export async function code({ visit }) {
  const v = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
  await v.ask("Some code.");
  await v.ended();
  await v.answer.getByRole("button", { name: "Copy code" }).click();
  await v.answer.getByRole("button", { name: "Copied" }).waitFor();
  return { copied: await v.page.evaluate(() => navigator.clipboard.readText()) };
}

/** In which steps a long piece of text is shown, and whether anything moves beside it. */
export async function motion({ visit, checkpoint, options }) {
  const v = await visit({ reducedMotion: options.reducedMotion });
  const { page } = v;
  await v.ask("Go on.");
  const dot = v.answer.locator(".thinking i").first();
  await dot.waitFor();
  const moves = await dot.evaluate((node) => {
    const { animationDuration, animationIterationCount } = getComputedStyle(node);
    return parseFloat(animationDuration) > 0.01 && animationIterationCount === "infinite";
  });
  await page.evaluate(() => {
    globalThis.lengths = new Set();
    new MutationObserver(() => {
      const length = document.querySelector(".prose")?.textContent.length;
      if (length) globalThis.lengths.add(length);
    }).observe(document.querySelector(".messages"), {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  await checkpoint("asked");
  await v.wrote("END");
  const steps = await page.evaluate(() => globalThis.lengths.size);
  await checkpoint("shown");
  await v.ended();
  return { moves, steps };
}

/** Somebody reads further up while the answer is written on. */
export async function scrolling({ visit, checkpoint }) {
  const v = await visit();
  const { page } = v;
  const list = page.locator(".messages");
  const fromEnd = () =>
    list.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("line59");
  const followed = await fromEnd();
  await list.evaluate((node) => node.scrollBy({ top: -600, behavior: "instant" }));
  await v.button("To the newest words").waitFor();
  const before = await list.evaluate((node) => node.scrollTop);
  await checkpoint("up");
  await v.wrote("line119");
  const after = await list.evaluate((node) => node.scrollTop);
  await v.button("To the newest words").click();
  await v.button("To the newest words").waitFor({ state: "detached" });
  await checkpoint("down");
  await v.wrote("line179");
  await v.ended();
  return { followed, before, after, ended: await fromEnd() };
}

/** What is wide, on a phone. */
export async function narrow({ visit }) {
  const v = await visit({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  const { page } = v;
  const name = `${"a-long-name-".repeat(8)}.txt`;
  await page
    .locator('input[type="file"]')
    .setInputFiles([{ name, mimeType: "text/plain", buffer: Buffer.from("x") }]);
  const chip = await page.locator(".chosen .file").evaluate((node) => {
    const size = node.querySelector(".text-soft");
    const line = parseFloat(getComputedStyle(size).lineHeight);
    return { icon: node.querySelector("svg").clientWidth, lines: Math.round(size.clientHeight / line) };
  });
  await v.ask("What is it?");
  await v.ended();
  const table = await v.answer.locator(".table-box").evaluate((node) => {
    const head = node.querySelector("th:nth-child(3)");
    const { lineHeight, paddingBlockStart, paddingBlockEnd } = getComputedStyle(head);
    const text = head.clientHeight - parseFloat(paddingBlockStart) - parseFloat(paddingBlockEnd);
    return {
      lines: Math.round(text / parseFloat(lineHeight)),
      scrolls: node.scrollWidth > node.clientWidth,
    };
  });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  return { chip, table, overflow };
}
