// Drives the page in Chromium: node page.mjs SCENARIO URL [FOLDER FOR SCREENSHOTS]
//
// Prints JSON lines: {"checkpoint": name} and then waits for a line on stdin, so that the test
// decides what the model server does next; at the end {"result": …}. Any error or blocked content
// in the page fails the scenario.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [scenario, url, shots] = process.argv.slice(2);
const input = createInterface({ input: process.stdin });
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function checkpoint(name) {
  const answered = once(input, "line");
  say({ checkpoint: name });
  await answered;
}

class Visit {
  /** What the page complained about; the statuses that a test provokes are not complaints. */
  complaints = [];

  static async begin(browser, options = {}) {
    const visit = new Visit();
    visit.context = await browser.newContext({
      locale: "en-GB",
      reducedMotion: "reduce",
      ...options,
    });
    visit.context.setDefaultTimeout(20_000);
    visit.page = await visit.context.newPage();
    visit.page.on("pageerror", (error) => visit.complaints.push(String(error)));
    visit.page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) {
        visit.complaints.push(text);
      }
    });
    await visit.page.goto(`${url}/`);
    return visit;
  }

  async shot(name) {
    if (shots) await this.page.screenshot({ path: `${shots}/${name}.png` });
  }

  async ask(text) {
    await this.page.locator("#question").fill(text);
    await this.page.locator("#question").press("Enter");
  }

  get answer() {
    return this.page.locator(".answer").last();
  }

  async wrote(text) {
    await this.answer.locator(".prose", { hasText: text }).waitFor();
  }

  /** Wait for the answer's end; its text and what stands below it. */
  async ended() {
    await this.page.locator(".answer:not([aria-busy]) .again").last().waitFor({ state: "attached" });
    return { text: await this.text(), meta: await this.meta() };
  }

  text = async () => await this.answer.locator(".prose").innerText();
  meta = async () => await this.answer.locator(".meta").innerText();
}

const scenarios = {
  async cited(browser) {
    const visit = await Visit.begin(browser, { permissions: ["clipboard-read", "clipboard-write"] });
    const { page } = visit;
    await page.locator("#notice").waitFor();
    const notice = await page.locator("#notice").innerText();
    await visit.shot("welcome");
    await visit.ask("When was the lighthouse of Skarvoy built?");
    const answer = await visit.ended();
    const spoken = await page.locator("#announcer").innerText();
    await visit.answer.locator(".copy").click();
    await visit.answer.locator(".copy", { hasText: "Copied" }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const chips = await visit.answer.locator(".chip").count();
    const cite = visit.answer.locator(".cite").first();
    const mark = await cite.innerText();
    await cite.click();
    const panel = visit.answer.locator(".source-panel");
    const heading = await panel.locator(".source-heading").innerText();
    const snippet = await panel.locator(".snippet").innerText();
    await visit.shot("cited");
    await panel.getByRole("button", { name: "whole passage" }).click();
    await panel.locator(".snippet.whole").waitFor();
    const whole = await panel.locator(".snippet").innerText();
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "hidden" });
    const focused = await page.evaluate(() => document.activeElement.className);
    const model = await page.locator("#model").innerText();
    return { visit, notice, ...answer, copied, chips, mark, heading, snippet, whole, focused, spoken, model };
  },

  async reload(browser) {
    const visit = await Visit.begin(browser);
    await visit.ask("Tell me a long story");
    await checkpoint("asked");
    await visit.wrote("word4");
    await visit.shot("writing");
    await visit.page.reload();
    await visit.wrote("word4");
    const busy = await visit.answer.getAttribute("aria-busy");
    const before = await visit.text();
    await checkpoint("reloaded");
    const answer = await visit.ended();
    await visit.page.reload();
    const later = await visit.ended();
    return { visit, busy, before, ...answer, later: later.text };
  },

  async stop(browser) {
    const visit = await Visit.begin(browser);
    await visit.ask("Tell me a long story");
    await checkpoint("asked");
    await visit.wrote("word4");
    await visit.page.locator("#stop").click();
    const answer = await visit.ended();
    await visit.page.locator("#send").waitFor();
    return { visit, ...answer };
  },

  async cut(browser) {
    const visit = await Visit.begin(browser);
    const resumed = [];
    visit.page.on("request", (request) => {
      const id = request.headers()["last-event-id"];
      if (id) resumed.push(id);
    });
    const failed = [];
    visit.page.on("requestfailed", (request) => failed.push(new URL(request.url()).pathname));
    await visit.ask("Tell me a long story");
    await checkpoint("asked");
    await visit.wrote("word4");
    await visit.answer.locator(".cut").click();
    await visit.answer.locator(".alarm").waitFor();
    await visit.shot("cut");
    await checkpoint("cut");
    const answer = await visit.ended();
    return { visit, ...answer, resumed, failed };
  },

  async unsent(browser) {
    const visit = await Visit.begin(browser);
    let swallows = true;
    await visit.page.route("**/chat/stream", (route) => (swallows ? undefined : route.continue()));
    const swallowed = visit.page.waitForRequest("**/chat/stream");
    await visit.ask("Is anybody there?");
    const first = (await swallowed).headers()["idempotency-key"];
    swallows = false;
    const second = visit.page.waitForRequest("**/chat/stream");
    await visit.page.reload();
    const key = (await second).headers()["idempotency-key"];
    const answer = await visit.ended();
    const questions = await visit.page.locator(".question").allInnerTexts();
    return { visit, ...answer, questions, keys: [first, key] };
  },

  async hostile(browser) {
    const visit = await Visit.begin(browser);
    const foreign = [];
    visit.page.on("request", (request) => {
      if (!request.url().startsWith(url)) foreign.push(request.url());
    });
    await visit.ask("<img src=x onerror=alert(1)>");
    const answer = await visit.ended();
    const found = await visit.page.locator("#messages").evaluate((root) => ({
      elements: [...new Set([...root.querySelectorAll(".prose *")].map((node) => node.localName))],
      handlers: [...root.querySelectorAll("*")].flatMap((node) =>
        node.getAttributeNames().filter((name) => name.startsWith("on")),
      ),
      links: [...root.querySelectorAll("a")].map((a) => a.href),
      hacked: window.hacked ?? null,
    }));
    await visit.shot("hostile");
    return { visit, ...answer, ...found, foreign };
  },

  async markdown(browser) {
    const visit = await Visit.begin(browser);
    await visit.ask("Show me everything");
    const answer = await visit.ended();
    const html = await visit.answer.locator(".prose").innerHTML();
    await visit.shot("markdown");
    // The same text, a character at a time: what has been shown before must not change the end.
    const grown = await visit.page.evaluate(async (text) => {
      const { render } = await import("./markdown.js");
      const node = document.createElement("div");
      for (let end = 0; end <= text.length; end += 1) render(node, text.slice(0, end));
      return node.innerHTML;
    }, process.env.MARKDOWN);
    return { visit, ...answer, html, grown };
  },

  async parser(browser) {
    const visit = await Visit.begin(browser);
    const results = await visit.page.evaluate(async (cases) => {
      const { EventStreamParser } = await import("./event-stream.js");
      return cases.map((text) => {
        const bytes = new TextEncoder().encode(text);
        const cuts = [bytes.length, 1, 2, 3, 7];
        return cuts.map((size) => {
          const parser = new EventStreamParser();
          const events = [];
          for (let at = 0; at < bytes.length; at += size) {
            events.push(...parser.feed(bytes.subarray(at, at + size)));
          }
          return { events, retry: parser.retry };
        });
      });
    }, JSON.parse(process.env.CASES));
    return { visit, results };
  },

  async key(browser) {
    const visit = await Visit.begin(browser);
    const { page } = visit;
    await page.locator("#key").waitFor();
    await visit.shot("key");
    await page.locator("#key").fill("not-the-key");
    await page.locator("#key").press("Enter");
    await page.locator(".key-form.refused").waitFor();
    await page.locator("#key").fill(process.env.PAGE_KEY);
    await page.locator("#key").press("Enter");
    await visit.ask("Hello");
    const answer = await visit.ended();
    await page.reload(); // kept in the tab …
    await visit.ended();
    const other = await visit.context.newPage(); // … and in no other
    await other.goto(`${url}/`);
    await other.locator("#key").waitFor();
    return { visit, ...answer, address: page.url() };
  },

  async failure(browser) {
    const visit = await Visit.begin(browser);
    await visit.ask("First question");
    await visit.answer.getByRole("alert").waitFor();
    const words = await visit.answer.getByRole("alert").innerText();
    await visit.shot("failure");
    await visit.page.reload();
    await visit.answer.getByRole("alert").waitFor();
    await visit.answer.getByRole("button", { name: "Try again" }).click();
    await visit.wrote("Second time lucky");
    const answer = await visit.ended();
    const answers = await visit.page.locator(".answer").count();
    return { visit, words, ...answer, answers };
  },

  async conversations(browser) {
    const visit = await Visit.begin(browser);
    const { page } = visit;
    await visit.ask("About apples");
    await visit.ended();
    await page.locator("#new-conversation").click();
    await page.locator("#welcome").waitFor();
    await visit.ask("About pears");
    await visit.ended();
    await page.locator("#open-drawer").click();
    const items = page.locator(".conversation-title");
    await items.nth(1).waitFor();
    await visit.shot("drawer");
    const titles = await items.allInnerTexts();
    await items.nth(1).click();
    await page.locator(".question", { hasText: "About apples" }).waitFor();
    const opened = await page.locator(".question").allInnerTexts();
    await page.goBack();
    await page.locator(".question", { hasText: "About pears" }).waitFor();
    await page.goForward();
    await page.locator(".question", { hasText: "About apples" }).waitFor();
    await page.locator("#open-drawer").click();
    const remove = page.getByRole("button", { name: "Delete “About apples”" });
    await remove.click();
    await page.getByRole("button", { name: "Really delete?" }).click();
    await page.locator(".conversation-title", { hasText: "About apples" }).waitFor({ state: "detached" });
    const left = await items.allInnerTexts();
    await page.keyboard.press("Escape");
    await page.locator("#welcome").waitFor();
    return { visit, titles, opened, left, address: page.url() };
  },

  async phone(browser) {
    const visit = await Visit.begin(browser, {
      viewport: { width: 360, height: 740 },
      deviceScaleFactor: 2,
      hasTouch: true,
      isMobile: true,
      locale: "zh-CN",
      colorScheme: "dark",
    });
    const { page } = visit;
    await page.locator("#welcome").waitFor();
    await visit.shot("phone-welcome");
    const placeholder = await page.locator("#question").getAttribute("placeholder");
    const lang = await page.locator("html").getAttribute("lang");
    await page.locator("#question").fill("一条很长的消息");
    await page.locator("#send").tap();
    await visit.ended();
    await visit.shot("phone");
    const measure = await page.evaluate(() => {
      const box = document.getElementById("composer").getBoundingClientRect();
      return {
        overflow: document.documentElement.scrollWidth - innerWidth,
        composerInView: box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth,
      };
    });
    return { visit, placeholder, lang, ...measure };
  },
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
try {
  const { visit, ...result } = await scenarios[scenario](browser);
  say({ result: { ...result, complaints: visit.complaints } });
} finally {
  await browser.close();
  input.close();
}
