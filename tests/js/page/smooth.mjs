// What the page costs the browser: how long it keeps it from doing anything else, and its memory.

/** The browser's own counts. */
async function counting(v) {
  const session = await v.context.newCDPSession(v.page);
  await session.send("Performance.enable");
  await session.send("HeapProfiler.enable");
  return {
    collect: () => session.send("HeapProfiler.collectGarbage"),
    read: async () => {
      const { metrics } = await session.send("Performance.getMetrics");
      const of = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
      return {
        at: of.Timestamp,
        busy: of.TaskDuration,
        script: of.ScriptDuration,
        layout: of.LayoutDuration + of.RecalcStyleDuration,
        heap: of.JSHeapUsedSize,
        nodes: of.Nodes,
      };
    },
  };
}

/** Keep the length of each task that is longer than 50 ms, and of each wait for a frame. */
const watch = () => {
  globalThis.tasks = [];
  globalThis.frames = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) globalThis.tasks.push(duration);
  }).observe({ type: "longtask", buffered: true });
  let before = 0;
  const frame = (now) => {
    if (before) globalThis.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
};

/** What was kept since the last time. */
const kept = (page) =>
  page.evaluate(() => {
    const found = { tasks: globalThis.tasks, frames: globalThis.frames };
    globalThis.tasks = [];
    globalThis.frames = [];
    return found;
  });

/** An answer of many tokens, looked at when it has come to so many characters each. */
export async function typing({ visit, options }) {
  const v = await visit({ reducedMotion: "no-preference" });
  v.context.setDefaultTimeout(options.patience);
  const { page } = v;
  await v.question.waitFor();
  const counts = await counting(v);
  await page.evaluate(watch);
  await v.ask("A long one.");
  const length = () => page.evaluate(() => document.querySelector(".prose").textContent.length);
  const parts = [];
  for (const characters of options.lengths) {
    await page.waitForFunction(
      (least) => document.querySelector(".prose")?.textContent.length >= least,
      characters,
      { polling: 500 },
    );
    parts.push({ length: await length(), ...(await counts.read()), ...(await kept(page)) });
  }
  await v.ended();
  const last = await kept(page);
  await counts.collect();
  const { heap, nodes } = await counts.read();
  return { parts, heap, nodes, last, length: await length() };
}

/** A conversation that is opened. */
export async function opening({ visit, options }) {
  const v = await visit();
  v.context.setDefaultTimeout(options.patience);
  const { page } = v;
  await v.question.waitFor();
  const counts = await counting(v);
  await page.addInitScript(watch);
  await page.addInitScript(() => {
    new MutationObserver(() => {
      const list = document.querySelectorAll("article");
      if (list.length) globalThis.seen ??= { at: performance.now(), articles: list.length };
      if (list.length >= 500) globalThis.all ??= performance.now();
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(`${v.url}/#/c/${options.conversation}`);
  await page.reload();
  await page.waitForFunction(() => globalThis.all, null, { polling: 50 });
  const { seen, all } = await page.evaluate(() => ({ seen: globalThis.seen, all: globalThis.all }));
  const { tasks } = await kept(page);
  await counts.collect();
  const { heap, nodes } = await counts.read();
  return { seen, all, tasks, heap, nodes };
}
