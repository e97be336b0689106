const file = (name, mimeType, text) => ({ name, mimeType, buffer: Buffer.from(text, "base64") });
const text = (name, words) => file(name, "text/plain", Buffer.from(words).toString("base64"));

/** Two lines; a draft that survives a reload; nothing lost when the server refuses. */
export async function typing({ visit }) {
  const v = await visit();
  await v.question.pressSequentially("One");
  await v.question.press("Shift+Enter");
  await v.question.pressSequentially("Two");
  await v.page.reload();
  const draft = await v.question.inputValue();
  await v.question.press("Enter");
  await v.page.locator(".problem").waitFor();
  const refused = await v.page.locator(".problem").innerText();
  const kept = await v.question.inputValue();
  // What is typed meanwhile stays when the other one is sent again.
  await v.question.fill("Three");
  await v.button("Try again").click();
  await v.wrote("Here");
  await v.ended();
  const typed = await v.question.inputValue();
  await v.page.reload();
  await v.wrote("Here");
  const later = await v.question.inputValue();
  const bubbles = await v.page.locator(".bubble").allInnerTexts();
  return { draft, refused, kept, typed, later, bubbles, text: await v.text() };
}

export async function attachments({ visit, options }) {
  const v = await visit();
  const { page } = v;
  const input = page.locator('input[type="file"]');
  await input.setInputFiles([
    file("chart.png", "image/png", options.png),
    text("notes.log", "The password is Fähre."),
    file("archive.zip", "application/zip", "AAAA"),
    text("large.txt", "x".repeat(3000)),
  ]);
  await page.locator(".refused").waitFor();
  const refused = await page.locator(".refused li").allInnerTexts();
  const names = async () => await page.locator(".chosen .truncate").allInnerTexts();
  const before = await names();
  await page.reload();
  await page.locator(".chosen img").waitFor();
  const chosen = await names();
  // Seen as it was: what is shown is made of what was kept.
  const preview = await page.locator(".chosen img").evaluate(async (node) => {
    await node.decode();
    return node.naturalWidth;
  });
  await v.ask("What are these?");
  await v.ended();
  const picture = page.locator(".question img.picture");
  await picture.waitFor();
  const width = await picture.evaluate(async (node) => {
    await node.decode();
    return node.naturalWidth;
  });
  await page.locator(".question").hover();
  await v.button("Edit", { exact: true }).click();
  await page.getByLabel("Edit the question").fill("What is this?");
  await page.keyboard.press("Enter");
  await v.wrote("What is this?");
  await v.ended();
  await page.reload();
  await v.wrote("What is this?");
  return { refused, before, chosen, preview, left: await v.files(), width, shown: await page.locator(".attached").innerText() };
}

/** A picture from the clipboard goes along. */
export async function pasted({ visit, options }) {
  const v = await visit();
  await v.question.waitFor();
  await v.question.evaluate((node, png) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(png), (byte) => byte.charCodeAt(0));
    data.items.add(new File([bytes], "image.png", { type: "image/png" }));
    node.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }),
    );
  }, options.png);
  await v.page.locator(".chosen", { hasText: "image.png" }).waitFor();
  await v.ask("What is this?");
  await v.ended();
  await v.page.locator(".question img.picture").waitFor();
  const larger = v.button("Show image.png larger");
  await larger.click();
  const dialog = v.page.getByRole("dialog", { name: "image.png" });
  const width = await dialog.locator("img").evaluate(async (node) => {
    await node.decode();
    return node.naturalWidth;
  });
  await v.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  const focused = await larger.evaluate((node) => node === document.activeElement);
  return { text: await v.text(), width, focused };
}

/** Documents are dropped onto the page. */
export async function documents({ visit, options }) {
  const v = await visit();
  const { page } = v;
  const drop = async (where, files) => {
    const data = await page.evaluateHandle((files) => {
      const data = new DataTransfer();
      for (const { name, text, type } of files) data.items.add(new File([text], name, { type }));
      return data;
    }, files);
    await page.locator(".stage").dispatchEvent("dragenter", { dataTransfer: data });
    await page.locator(`[data-drop="${where}"]`).dispatchEvent("drop", { dataTransfer: data });
  };
  await drop("documents", [
    { name: "skarvoy.md", text: options.document, type: "" },
    { name: "picture.png", text: "x", type: "image/png" },
  ]);
  await page.locator('.documents [data-outcome="added"]').waitFor();
  const outcomes = await page.locator(".documents li").allInnerTexts();
  await drop("question", [{ name: "list.csv", text: "a,b", type: "text/csv" }]);
  await page.locator(".chosen", { hasText: "list.csv" }).waitFor();
  await v.button("Take list.csv away").click();
  await v.ask("When was the lighthouse of Skarvoy built?");
  await v.ended();
  return { outcomes, text: await v.text(), source: await v.answer.locator(".sources").innerText() };
}

export async function settings({ visit }) {
  const v = await visit();
  const { page } = v;
  await v.choose("Model", "other");
  await v.button("Settings of this conversation").click();
  await page.getByLabel("Instructions to the model").fill("Rhyme.");
  await page.getByLabel("Temperature").fill("0.3");
  await page.getByLabel("Longest answer").fill("77");
  await page.keyboard.press("Escape");
  await v.ask("First");
  await v.ended();
  await v.ask("Second");
  await v.ended(2);
  await page.reload();
  const kept = await page.getByLabel("Model", { exact: true }).inputValue();
  await page.getByRole("link", { name: "New conversation" }).click();
  await page.locator(".welcome").waitFor();
  await v.ask("Third");
  await v.ended();
  return { kept, fresh: await page.getByLabel("Model", { exact: true }).inputValue() };
}

export async function key({ visit, options }) {
  const v = await visit();
  const { page } = v;
  await page.getByLabel("API key").fill("wrong-key-0123456789012345678901");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  const refused = await page.getByRole("alert").innerText();
  await page.getByLabel("API key").fill(options.key);
  await page.keyboard.press("Enter");
  await v.ask("Hello");
  await v.ended();
  const text = await v.text();
  const over = await v.wire();
  await page.reload();
  await v.wrote(text);
  await v.button("Sign out").click();
  await page.getByLabel("API key").waitFor();
  const left = await page.evaluate(() => Object.values({ ...localStorage, ...sessionStorage }));
  return { refused, text, over, address: page.url(), left };
}

/** What the page says of each refusal. */
export async function refusals({ visit, options }) {
  const v = await visit();
  const said = [];
  for (let n = 1; n <= options.count; n += 1) {
    await v.page.getByRole("link", { name: "New conversation" }).click();
    await v.page.locator(".welcome").waitFor();
    await v.ask(`Question ${n}`);
    await v.page.locator(".problem").waitFor();
    said.push(await v.page.locator(".problem > p").innerText());
    if (n < options.count) await v.question.fill("");
  }
  return { said };
}
