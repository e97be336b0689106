// One answer on the page: follows its line, shows what comes, says how the line does.

import { errorWords, number, t } from "./strings.js";
import { Line } from "./line.js";
import { Problem } from "./api.js";
import { Sources } from "./sources.js";
import { clear, render } from "./markdown.js";
import { h, icon } from "./dom.js";

export class Answer {
  element;
  /** running, completed, stopped, failed or interrupted. */
  status = "running";
  messageId = "";
  /** The stream that holds it, once known. */
  stream = "";
  text = "";

  #host;
  #line = null;
  #sources = new Sources();
  #prose = h("div", { class: "prose" });
  #thinking;
  #thinkingWords = h("span", { text: t.thinking });
  #reasoning;
  #reasoningText = h("p");
  #problem = h("div", { class: "problem", hidden: true });
  #meta = h("p", { class: "meta" });
  #buttons = h("div", { class: "buttons" });
  #frame = 0;
  #began = 0;
  #firstToken = null;
  #tokens = 0;
  #usage = null;
  #waiting = null;

  /**
   * `host`: callbacks `accepted(answer, conversation)`, `changed()` when the page has grown,
   * `ended(answer)`, `again(answer)`, `announce(text)` and `needKey(answer)`.
   */
  constructor(host) {
    this.#host = host;
    this.#thinking = h(
      "p",
      { class: "thinking" },
      h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
      this.#thinkingWords,
    );
    this.#reasoning = h(
      "details",
      { class: "reasoning", hidden: true },
      h("summary", { text: t.reasoning }),
      this.#reasoningText,
    );
    this.element = h(
      "article",
      { class: "answer", "aria-label": t.answer },
      this.#reasoning,
      this.#prose,
      this.#thinking,
      this.#problem,
      this.#sources.element,
      h("footer", { class: "foot" }, this.#meta, this.#buttons),
    );
  }

  /** Ask: `start` is `{body, key}`. */
  ask(start) {
    this.#began = performance.now();
    this.#follow({ start });
  }

  /** Go on reading an answer that is being written. */
  attach(stream) {
    this.#follow({ stream });
  }

  /** Show a finished answer. */
  show({ text, status, sources }) {
    this.#sources.set(sources ?? []);
    this.text = text;
    this.status = status;
    this.#draw();
    this.#finish(false);
    if (status === "failed" || status === "interrupted") {
      this.#explain(new Problem({ error: "", code: status === "failed" ? "unknown" : status, retryable: true }));
    }
  }

  /** Show why this answer failed. */
  explain(problem) {
    this.#explain(problem);
  }

  stop() {
    return this.#line?.stop();
  }

  /** Leave the answer; it is written on without this page. */
  leave() {
    this.#line?.close();
    cancelAnimationFrame(this.#frame);
  }

  // -- the line ---------------------------------------------------------------------------------

  #follow(origin) {
    this.status = "running";
    this.element.setAttribute("aria-busy", "true");
    this.#problem.hidden = true;
    this.#line = new Line({
      ...origin,
      on: {
        accepted: (stream, conversation) => {
          this.stream = stream;
          this.#host.accepted(this, conversation);
        },
        event: (name, fields) => this.#take(name, fields),
        state: (name, wait) => this.#state(name, wait),
        failed: (problem) => this.#fail(problem),
      },
    });
    this.#runningButtons();
    this.#state("connecting", 0);
    this.#line.run();
  }

  #state(name, wait) {
    if (name === "open") this.#waiting = null;
    else if (name === "waiting") this.#waiting = Math.round(wait / 1000);
    if (name === "connecting" && !this.#line.stream) this.#thinkingWords.textContent = t.connecting;
    this.element.classList.toggle("broken", this.#waiting !== null);
    this.#status();
  }

  #take(name, fields) {
    switch (name) {
      case "restart": // read again from the beginning
        this.#reset("");
        break;
      case "thinking":
        if (fields.message_id) this.messageId = fields.message_id;
        this.#thinkingWords.textContent = t[fields.status] ?? fields.message ?? t.thinking;
        break;
      case "sources":
        clear(this.#prose);
        this.#sources.set(fields.sources);
        if (fields.count) this.#thinkingWords.textContent = `${t.found(fields.count)} · ${t.generating}`;
        this.#later();
        break;
      case "token":
        if (fields.part !== undefined) break; // another choice's
        if (this.#firstToken === null && this.#began) {
          this.#firstToken = Math.round(performance.now() - this.#began);
        }
        if (!this.text) this.#host.announce(t.announceStart);
        this.text += fields.tokens ? fields.tokens.join("") : fields.token;
        this.#tokens += fields.tokens?.length ?? 1;
        this.#later();
        break;
      case "reasoning":
        this.#reasoning.hidden = false;
        this.#reasoningText.append(fields.reasoning);
        break;
      case "usage":
        this.#usage = fields;
        break;
      case "reset":
        this.#reset(fields.text ?? "");
        break;
      case "snapshot":
        this.#sources.set(fields.sources ?? []);
        this.#reset(fields.text);
        this.status = fields.status;
        if (fields.error) this.#fail(new Problem(fields), fields.status);
        else this.#finish(true);
        break;
      case "done":
        this.status = fields.status;
        this.#finish(true);
        break;
      case "error":
        this.#fail(new Problem(fields), fields.code === "interrupted" ? "interrupted" : "failed");
        break;
    }
  }

  #reset(text) {
    clear(this.#prose);
    this.text = text;
    this.#tokens = 0;
    this.#reasoningText.replaceChildren();
    this.#later();
  }

  // -- what is shown ----------------------------------------------------------------------------

  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
      this.#status();
    });
  }

  #draw() {
    render(this.#prose, this.text, (n) => this.#sources.cite(n));
    this.#thinking.hidden = this.status !== "running" || this.text !== "";
    this.#host.changed();
  }

  #finish(live) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#waiting = null;
    this.element.classList.remove("broken");
    this.element.removeAttribute("aria-busy");
    this.#draw();
    this.#status();
    this.#finalButtons();
    if (!live) return;
    const spoken = this.#prose.innerText.slice(0, 600);
    if (this.status === "stopped") this.#host.announce(t.announceStopped);
    else if (this.status === "completed") this.#host.announce(`${t.announceEnd} ${spoken}`);
    this.#host.ended(this);
  }

  #fail(problem, status = "failed") {
    this.status = status;
    this.#finish(true);
    if (problem.code === "unauthenticated") this.#host.needKey(this);
    else this.#explain(problem);
  }

  #explain(problem) {
    const words = errorWords(problem.code);
    const button = h("button", { type: "button", class: "quiet", text: t.retry });
    button.addEventListener("click", () => this.#host.again(this));
    this.#problem.replaceChildren(
      icon("warn"),
      h(
        "div",
        {},
        h("p", { role: "alert", text: words }),
        problem.retryAfter ? h("p", { class: "hint", text: t.wait(Math.ceil(problem.retryAfter)) }) : null,
        problem.message && problem.message !== words
          ? h("p", { class: "hint", text: `${t.serverSays}: ${problem.message}` })
          : null,
        h("div", { class: "row" }, button),
      ),
    );
    this.#problem.hidden = false;
    this.#buttons.querySelector(".again")?.classList.add("told"); // the same button stands above
    this.#host.changed();
  }

  #status() {
    const parts = [];
    if (this.#line) {
      parts.push(h("span", { text: "SSE", title: t.transportHint }));
      if (this.#firstToken !== null) parts.push(t.firstToken(this.#firstToken));
      const counted = this.#usage?.output_tokens ?? this.#tokens;
      if (counted) parts.push(t.tokens(number(counted), this.#usage?.estimated));
      if (this.#line.reconnects) parts.push(t.reconnects(this.#line.reconnects));
      if (this.#waiting !== null) {
        const words = this.#waiting > 1 ? t.resumingIn(this.#waiting) : t.resuming;
        parts.push(h("span", { class: "alarm", text: words }));
      }
    }
    if (this.status === "stopped") parts.push(t.stopped);
    this.#meta.replaceChildren(
      ...parts.map((part) => (typeof part === "string" ? h("span", { text: part }) : part)),
    );
  }

  #runningButtons() {
    this.#buttons.replaceChildren(
      h(
        "button",
        { type: "button", class: "quiet cut", title: t.cutHint, onclick: () => this.#line.cut() },
        icon("cut"),
        h("span", { text: t.cut }),
      ),
    );
  }

  #finalButtons() {
    const words = h("span", { text: t.copy });
    const copy = h("button", { type: "button", class: "quiet copy" }, icon("copy"), words);
    copy.addEventListener("click", async () => {
      const done = await copyText(this.text);
      words.textContent = done ? t.copied : t.copyFailed;
      if (done) copy.firstElementChild.replaceWith(icon("check"));
      this.#host.announce(words.textContent);
      setTimeout(() => {
        words.textContent = t.copy;
        copy.firstElementChild.replaceWith(icon("copy"));
      }, 2000);
    });
    const again = h(
      "button",
      { type: "button", class: "quiet again", onclick: () => this.#host.again(this) },
      icon("again"),
      h("span", { text: t.again }),
    );
    this.#buttons.replaceChildren(...(this.text ? [copy] : []), again);
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not over plain HTTP: there the old way still works.
    const area = h("textarea", { class: "unseen", value: text, readOnly: true });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}
