// Somebody who visits the page.

/** Chromium's own words for a status, a line or a name without TLS that a test provokes. */
const PROVOKED =
  /^Failed to load resource|^WebSocket connection to|^The Cross-Origin-Opener-Policy header has been/;

export class Visit {
  static async begin(browser, url, complaints, { tab, path = "/", faulty = false, ...options } = {}) {
    const visit = new Visit();
    visit.url = url;
    visit.context =
      tab?.context ??
      (await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", ...options }));
    visit.page = await visit.context.newPage();
    // Where a fault is what a test provokes, the page may complain of it.
    if (faulty) complaints = [];
    visit.page.on("pageerror", (error) => complaints.push(String(error)));
    visit.page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !PROVOKED.test(text)) complaints.push(text);
    });
    visit.foreign = [];
    visit.page.on("request", (request) => {
      const address = request.url();
      if (!address.startsWith(url) && !/^(blob|data):/.test(address)) visit.foreign.push(address);
    });
    await visit.page.goto(url + path);
    return visit;
  }

  get question() {
    return this.page.locator("#question");
  }

  async ask(text) {
    await this.question.fill(text);
    await this.question.press("Enter");
  }

  get answer() {
    return this.page.locator(".answer").last();
  }

  async wrote(text) {
    await this.answer.locator(".prose", { hasText: text }).waitFor();
  }

  /** Wait for the end of as many answers. */
  async ended(count = 1) {
    await this.page.locator('.answer:not([data-status="running"])').nth(count - 1).waitFor();
    await this.page.locator('.answer[data-status="running"]').waitFor({ state: "detached" });
  }

  /** Of how many conversations the browser keeps files that wait to be sent. */
  files = () =>
    this.page.evaluate(
      () =>
        new Promise((resolve) => {
          const opening = indexedDB.open("fairlead");
          opening.onsuccess = () => {
            const found = opening.result.transaction("files").objectStore("files").count();
            found.onsuccess = () => resolve(found.result);
          };
        }),
    );

  text = async () => await this.answer.locator(".prose").innerText();
  wire = async () => await this.answer.locator(".wire").innerText();
  status = async () => await this.answer.getAttribute("data-status");
  button = (name, options) => this.page.getByRole("button", { name, ...options });
  choose = async (label, value) => await this.page.getByLabel(label).selectOption(value);
}
