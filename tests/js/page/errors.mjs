const problem = (v) => v.page.locator(".problem").last();

/** The server has no room; then it has, and the question is asked once more. */
export async function busy({ visit, checkpoint }) {
  const v = await visit();
  await v.question.waitFor();
  await v.page.clock.install();
  await v.ask("Is there room?");
  await problem(v).waitFor();
  const said = await problem(v).locator("p").first().innerText();
  const kept = await v.question.inputValue();
  await v.page.clock.runFor(120_000);
  await problem(v).getByText("You can try again now.").waitFor();
  await checkpoint("room");
  await v.button("Try again").click();
  await v.ended();
  const draft = await v.page.evaluate(() => Object.keys(localStorage).filter((key) => /draft/.test(key)));
  return { said, kept, draft, text: await v.text(), left: await v.question.inputValue() };
}

/** A question that the model's server, or ours, finds too long. */
export async function long({ visit, options }) {
  const v = await visit();
  await v.ask(options.question);
  await problem(v).waitFor();
  const said = await problem(v).locator("p").first().innerText();
  await v.page.locator(".problem summary").click();
  const detail = await problem(v).locator("details p").innerText();
  const bubble = await v.page.locator(".bubble").innerText();
  return { said, detail, bubble, kept: await v.question.inputValue() };
}

/** The server takes less than it did when the page was opened. */
export async function attachment({ visit, checkpoint }) {
  const v = await visit();
  const { page } = v;
  await v.question.waitFor();
  await v.choose("Transport", "sse");
  await checkpoint("opened");
  const file = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x".repeat(5000)) };
  await page.locator('input[type="file"]').setInputFiles([file]);
  await page.locator(".chosen .truncate").waitFor();
  await v.ask("What is in it?");
  await problem(v).waitFor();
  const said = await problem(v).locator("p").first().innerText();
  const kept = [await v.question.inputValue(), await page.locator(".chosen .truncate").innerText()];
  await checkpoint("refused");
  await v.button("Try again").click();
  await v.ended();
  return { said, kept, text: await v.text() };
}

/** The sign-in ends while somebody writes, with a file at hand. */
export async function expired({ visit, checkpoint, options }) {
  const v = await visit();
  const { page } = v;
  await page.getByLabel("API key").fill(options.first);
  await page.keyboard.press("Enter");
  await v.choose("Transport", "sse"); // where each question shows its credential
  await v.ask("First question");
  await v.ended();
  const file = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("The code is 7.") };
  await page.locator('input[type="file"]').setInputFiles([file]);
  await page.locator(".chosen .truncate").waitFor();
  await v.question.fill("Second question");
  await checkpoint("revoke");
  await v.question.press("Enter");
  await page.getByLabel("API key").waitFor();
  const said = await page.locator("main").filter({ visible: true }).innerText();
  const hidden = await page.locator(".bubble").first().isHidden();
  await page.getByLabel("API key").fill(options.second);
  await page.keyboard.press("Enter");
  await page.locator(".bubble", { hasText: "First question" }).waitFor();
  const kept = [await v.question.inputValue(), await page.locator(".chosen .truncate").innerText()];
  await v.question.press("Enter");
  await v.ended(2);
  return { said, hidden, kept, text: await v.text() };
}

/** Asked without a network: it is asked when there is one. */
export async function offline({ visit }) {
  const v = await visit();
  await v.question.waitFor();
  await v.context.setOffline(true);
  const banner = await v.page.locator(".banner").innerText();
  await v.ask("Are you there?");
  const draft = await v.page.evaluate(() => localStorage.getItem("fairlead.draft.new"));
  await v.context.setOffline(false);
  await v.ended();
  return { banner, draft, text: await v.text() };
}

/** Stopped while the server cannot be reached. */
export async function stopLater({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.context.setOffline(true);
  await v.button("Cut the line").click();
  await v.button("Stop", { exact: true }).click();
  const held = v.page.locator(".held");
  await held.waitFor();
  const said = await held.innerText();
  const role = await held.getAttribute("role");
  const status = await v.status();
  await v.context.setOffline(false);
  await v.ended();
  await held.waitFor({ state: "detached" });
  const kept = await v.page.evaluate(() => localStorage.getItem("fairlead.stops"));
  return { said, role, status, ended: await v.status(), text: await v.text(), kept };
}

/** Stopped while the server cannot be reached, and then closed; the next page does it. */
export async function stopNext({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.context.setOffline(true);
  await v.button("Cut the line").click();
  await v.page.keyboard.press("Escape");
  await v.page.locator(".held").waitFor();
  await v.page.close();
  await v.context.setOffline(false);
  const next = await visit({ tab: v });
  await next.question.waitFor();
  await checkpoint("opened");
  await next.page.waitForFunction(() => localStorage.getItem("fairlead.stops") === null, null, {
    polling: 50,
  });
  await next.page.locator(".conversation > a").first().click();
  await next.ended();
  return { status: await next.status(), text: await next.text() };
}

/** The page is closed in mid-answer. */
export async function left({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.context.close();
  return {};
}

/** Through a real OpenID provider, in and out. */
export async function account({ visit, url, options }) {
  const v = await visit({ path: "/#/operator" });
  const { page } = v;
  const enter = async (name) => {
    await page.getByRole("link", { name: "Sign in with your account" }).click();
    await page.fill("input[name=login]", name);
    await page.fill("input[name=password]", "anything");
    await page.click("button[type=submit]");
    // The next page asks what Fairlead is to be told.
    await page.locator('input[name=prompt][value=consent]').waitFor({ state: "attached" });
    await page.click("button[type=submit]");
  };
  const leave = async () => {
    await v.button("Sign out").click();
    await page.click("button[value=yes]");
    await page.getByRole("link", { name: "Sign in with your account" }).waitFor();
  };
  await enter("root");
  // Back at where one wanted to go.
  await page.locator(".tiles:not([aria-busy=true])").waitFor();
  const back = page.url().slice(url.length);
  await page.getByRole("link", { name: "Chat" }).click();
  await v.ask("Who am I?");
  await v.ended();
  const text = await v.text();
  const wire = await v.wire();
  await page.reload();
  await v.wrote(text);
  const who = await page.locator(".sidebar footer").innerText();
  const kept = await page.evaluate(() => [document.cookie, localStorage.getItem("fairlead.key")]);
  // The session ends while somebody writes, with files at hand. The way leads over another site.
  const file = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("The code is 7.") };
  await page.locator('input[type="file"]').setInputFiles([file]);
  await page.locator(".chosen .truncate").waitFor();
  await v.context.clearCookies();
  await v.ask("What is the code?");
  await page.getByRole("link", { name: "Sign in with your account" }).waitFor();
  await enter("root");
  await page.locator(".chosen .truncate").waitFor();
  const again = [await v.question.inputValue(), await page.locator(".chosen .truncate").innerText()];
  await v.question.press("Enter");
  await v.ended(2);
  const code = await v.text();
  // What is left lying about is nobody else's to see.
  await page.locator('input[type="file"]').setInputFiles([file]);
  await page.locator(".chosen .truncate").waitFor();
  await v.question.fill("My secret");
  await leave();
  const out = page.url().slice(url.length);
  const lying = await page.evaluate(() => JSON.stringify(localStorage));
  // Somebody else sees nothing of it.
  await enter("mallory");
  await v.question.waitFor();
  const others = await page.locator(".conversation").count();
  const seen = [await v.question.inputValue(), await page.locator(".chosen li").count(), await v.files()];
  const links = await page.getByRole("navigation", { name: "Pages" }).innerText();
  await leave();
  return { back, text, wire, who, kept, again, code, lying, out, others, seen, links };
}

/** The keys are told, and a conversation is saved. */
export async function extras({ visit }) {
  const v = await visit();
  const { page } = v;
  await v.question.waitFor();
  await page.keyboard.press("Control+/");
  const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await dialog.waitFor();
  const keys = await dialog.innerText();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await v.ask("About pears");
  await v.ended();
  await page.locator(".conversation[data-current]").waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    v.button("Save the conversation as Markdown").click(),
  ]);
  const { readFile } = await import("node:fs/promises");
  const text = await readFile(await download.path(), "utf8");
  return { keys, file: download.suggestedFilename(), text };
}

/** Something comes that nobody thought of. */
export async function fault({ visit }) {
  const v = await visit({ faulty: true });
  const { page } = v;
  await v.question.fill("Begun before");
  await page.route("**/models", (route) => route.fulfill({ json: { models: 7 } }));
  await page.reload();
  await page.getByRole("alert").waitFor();
  const said = await page.locator("body").innerText();
  await page.unroute("**/models");
  await v.button("Load the page again").click();
  await v.question.waitFor();
  return { said, kept: await v.question.inputValue() };
}
