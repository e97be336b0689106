export async function stop({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.button("Stop", { exact: true }).click();
  await v.ended();
  const result = { text: await v.text(), status: await v.status() };
  await v.button("Continue").click();
  await v.ended(2);
  return { ...result, more: await v.text() };
}

export async function branches({ visit }) {
  const v = await visit();
  const { page } = v;
  await v.ask("About pears");
  await v.ended();
  await v.answer.hover();
  await v.button("Answer again").last().click();
  await v.wrote("Second");
  await v.ended();
  await v.answer.getByRole("group", { name: "Version 2 of 2" }).waitFor();
  const regenerated = await v.text();
  await v.button("Previous version").last().click();
  await v.wrote("First");
  const first = await v.text();

  await page.locator(".question").first().hover();
  await v.button("Edit", { exact: true }).first().click();
  await page.getByLabel("Edit the question").fill("About plums");
  await v.button("Ask", { exact: true }).click();
  await v.wrote("Third");
  await v.ended();
  const question = page.locator(".question").first();
  await question.getByRole("group", { name: "Version 2 of 2" }).waitFor();
  const edited = await question.locator(".bubble").innerText();
  await question.getByRole("button", { name: "Previous version" }).click();
  // The newest of the answers to it.
  await v.wrote("Second");
  const back = await question.locator(".bubble").innerText();
  // The branch in use is the server's to know: another visit shows the same.
  const again = await visit({ tab: v, path: `/${new URL(page.url()).hash}` });
  await again.wrote("Second");
  return { regenerated, first, edited, back, again: await again.text() };
}

export async function interrupt({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.question.fill("No, this instead.");
  await v.button("Stop the answer and ask this").click();
  await v.wrote("Instead");
  await v.ended(2);
  const first = v.page.locator(".answer").first();
  return {
    first: await first.locator(".prose").innerText(),
    status: await first.getAttribute("data-status"),
    text: await v.text(),
  };
}

/** Reloaded in mid-answer, opened in a second tab, closed and opened again. */
export async function returning({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Tell me a story.");
  await checkpoint("asked");
  await v.wrote("word4");
  const place = `/${new URL(v.page.url()).hash}`;
  await v.page.reload();
  await v.wrote("word4");
  const reloaded = await v.status();
  const second = await visit({ tab: v, path: place });
  await second.wrote("word4");
  await v.page.close();
  await checkpoint("closed");
  await second.wrote("word19");
  const third = await visit({ tab: second, path: place });
  await third.wrote("word19");
  await checkpoint("opened");
  await second.ended();
  await third.ended();
  return { reloaded, second: await second.text(), third: await third.text() };
}

export async function away({ visit, checkpoint }) {
  const v = await visit();
  const { page } = v;
  await v.ask("Tell me a story.");
  await checkpoint("asked");
  await v.wrote("word4");
  const place = new URL(page.url()).hash;
  await page.getByRole("link", { name: "New conversation" }).click();
  await page.getByRole("img", { name: "being written" }).waitFor();
  await checkpoint("away");
  await page.getByRole("img", { name: "finished while you were away" }).waitFor();
  const title = await page.title();
  await page.locator(`a[href="${place}"]`).click();
  await v.ended();
  const text = await v.text();
  await page.getByRole("img", { name: "finished while you were away" }).waitFor({ state: "detached" });
  await page.waitForFunction(() => !document.title.startsWith("●"));
  return { title, text };
}

/** What one browser asks the other one shows, when it is looked at. */
export async function elsewhere({ visit }) {
  const one = await visit();
  await one.ask("First");
  await one.ended();
  const two = await visit({ path: `/${new URL(one.page.url()).hash}` });
  await two.wrote("Echo");
  await two.ask("Second");
  await two.ended(2);
  await one.page.evaluate(() => dispatchEvent(new Event("focus")));
  await one.page.locator(".question").nth(1).waitFor();
  await one.ended(2);
  return { questions: await one.page.locator(".bubble").allInnerTexts() };
}

export async function list({ visit }) {
  const v = await visit();
  const { page } = v;
  const titles = async () => await page.locator(".conversation > a").allInnerTexts();
  const shows = (count) => page.waitForFunction(
    (count) => document.querySelectorAll(".conversation").length === count,
    count,
  );
  for (const [n, text] of ["About apples", "About pears", "About plums"].entries()) {
    await page.getByRole("link", { name: "New conversation" }).click();
    await page.locator(".welcome").waitFor();
    await v.ask(text);
    await v.ended();
    await shows(n + 1);
  }
  const all = await titles();
  await page.getByLabel("Search conversations").fill("pear");
  await shows(1);
  const found = await titles();
  await page.getByLabel("Search conversations").fill("");
  await shows(3);
  await page.locator(".conversation").nth(2).hover();
  await v.button("Rename “About apples”").click();
  await page.getByRole("textbox", { name: "Rename" }).fill("Fruit");
  await page.keyboard.press("Enter");
  await page.locator(".conversation", { hasText: "Fruit" }).waitFor();
  const renamed = await titles();
  await page.locator(".conversation").first().hover();
  await v.button("Delete “About plums”").click();
  await v.button("Delete", { exact: true }).click();
  await shows(2);
  await page.locator(".welcome").waitFor();
  return { all, found, renamed, left: await titles(), hash: new URL(page.url()).hash };
}

/** The server is killed in mid-answer and comes back. */
export async function restart({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await checkpoint("killed");
  await v.ended();
  const result = { status: await v.status(), text: await v.text() };
  result.words = await v.answer.innerText();
  await v.button("Continue").click();
  await v.wrote("Going on");
  await v.ended(2);
  return { ...result, more: await v.text() };
}

/** There is room for one answer: the next one waits, and says as which. */
export async function queued({ visit, checkpoint }) {
  const one = await visit();
  await one.ask("First");
  await checkpoint("asked");
  await one.wrote("word1");
  const two = await visit({ tab: one });
  await two.ask("Second");
  await two.answer.locator(".thinking", { hasText: "number 1 in the queue" }).waitFor();
  const three = await visit({ tab: one });
  await three.ask("Third");
  await three.answer.locator(".thinking", { hasText: "number 2 in the queue" }).waitFor();
  const waits = await two.answer.locator(".thinking").innerText();
  await checkpoint("waits");
  await Promise.all([one, two, three].map((v) => v.ended()));
  return { waits, texts: await Promise.all([one, two, three].map((v) => v.text())) };
}

/** Stopped by a key. */
export async function escape({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.page.keyboard.press("Escape");
  await v.ended();
  return { status: await v.status() };
}

/** Older conversations stay listed when the list is looked at again. */
export async function older({ visit }) {
  const v = await visit();
  const { page } = v;
  const rows = page.locator(".conversation");
  await rows.nth(39).waitFor();
  const first = await rows.count();
  await v.button("Older conversations").click();
  await rows.nth(44).waitFor();
  await Promise.all([
    page.waitForResponse((response) => response.url().includes("cursor=")),
    page.evaluate(() => dispatchEvent(new Event("focus"))),
  ]);
  // Each question stands under how long ago it was asked; all of these were just now.
  const groups = await page.locator(".conversations h2").allInnerTexts();
  await page.getByLabel("Search conversations").fill("Question 7");
  await rows.nth(1).waitFor({ state: "detached" });
  const found = await rows.allInnerTexts();
  await page.getByLabel("Search conversations").fill("");
  await rows.nth(39).waitFor();
  return { first, groups, found, again: await rows.count() };
}
