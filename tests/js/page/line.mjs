/** Cut many times, at places that chance chooses, over one transport. */
export async function cuts({ visit, checkpoint, options }) {
  const v = await visit();
  await v.choose("Transport", options.transport);
  await v.ask("Go on and on.");
  for (const word of options.places) {
    await checkpoint("go");
    await v.wrote(`word${word}`);
    await v.button("Cut the line").click();
  }
  await checkpoint("go");
  await v.ended();
  return { text: await v.text(), wire: await v.wire() };
}

/** Another transport is chosen in mid-answer; the next connection has it. */
export async function change({ visit, checkpoint, options }) {
  const v = await visit();
  const offers = v.page.getByLabel("Transport").locator("option");
  // The menu stands when the server has said what it offers.
  await offers.first().waitFor({ state: "attached" });
  const offered = await offers.allInnerTexts();
  await v.choose("Transport", options.before);
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.choose("Transport", options.after);
  await v.button("Cut the line").click();
  await checkpoint("cut");
  await v.answer.locator('[data-wire="reconnects"]').waitFor();
  await v.ended();
  const wire = await v.wire();
  await v.page.reload();
  await v.answer.waitFor();
  const chosen = await v.page.getByLabel("Transport").inputValue();
  return { offered, text: await v.text(), wire, chosen };
}

/** Seven tabs of one browser, over HTTP/1.1, each with an answer that is being written. */
export async function tabs({ visit, checkpoint }) {
  const first = await visit();
  const all = [first];
  for (let n = 1; n < 7; n += 1) all.push(await visit({ tab: first }));
  await Promise.all(all.map((v, n) => v.ask(`Question ${n}`)));
  await Promise.all(all.map((v) => v.answer.locator(".thinking").waitFor()));
  await checkpoint("asked");
  await Promise.all(all.map((v) => v.wrote("word1")));
  // All of them read at once; and what else a tab asks its server gets through.
  await first.page.getByLabel("Search conversations").fill("Question 3");
  await first.page.waitForFunction(() => document.querySelectorAll(".conversation").length === 1);
  const running = await Promise.all(all.map((v) => v.status()));
  await checkpoint("read");
  await Promise.all(all.map((v) => v.ended()));
  return {
    running,
    texts: await Promise.all(all.map((v) => v.text())),
    wires: await Promise.all(all.map((v) => v.wire())),
  };
}

export async function offline({ visit, checkpoint }) {
  const v = await visit();
  await v.ask("Go on and on.");
  await checkpoint("asked");
  await v.wrote("word4");
  await v.context.setOffline(true);
  const banner = await v.page.locator(".banner").innerText();
  await v.button("Cut the line").click();
  await checkpoint("offline");
  await v.answer.locator(".wire", { hasText: "Reconnecting" }).waitFor();
  const meanwhile = await v.text();
  await v.context.setOffline(false);
  await v.ended();
  await v.page.locator(".banner").waitFor({ state: "detached" });
  return { banner, meanwhile, text: await v.text() };
}
