// A page in Chromium under the test's command.
//
// Commands: {"goto": url} is reported as {"is": "page"}; {"run": expression} as {"is": "result",
// "value"}, promises awaited. In the page, report(…) reports, and listen(url, options) opens the
// browser's own EventSource and reports what comes.
import { launch } from "./chromium.mjs";
import { commands, options, report } from "./driver.mjs";

const browser = await launch(options.flags);
const page = await browser.newPage();
await page.exposeFunction("report", report);
await page.addInitScript(() => {
  globalThis.listen = (url, options) => {
    const source = new EventSource(url, options);
    const told = ({ type, data, lastEventId }) =>
      report({ is: type, data: JSON.parse(data), id: lastEventId });
    source.onopen = () => report({ is: "open" });
    for (const name of ["message", "thinking", "token", "done"]) source.addEventListener(name, told);
    source.onerror = (event) =>
      "data" in event ? told(event) : report({ is: "broken", closed: source.readyState === 2 });
  };
});
for await (const { goto, run } of commands()) {
  if (goto) {
    await page.goto(goto);
    report({ is: "page" });
  } else {
    report({ is: "result", value: (await page.evaluate(run)) ?? null });
  }
}
await browser.close();
process.exit();
