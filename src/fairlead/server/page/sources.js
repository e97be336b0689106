// The sources of one answer: numbered chips, and the panel of the one that is open.

import { json } from "./api.js";
import { h, icon } from "./dom.js";
import { safeAddress } from "./markdown.js";
import { t } from "./strings.js";

let panels = 0;

export class Sources {
  element;

  #sources = [];
  #chips = [];
  #panel;
  #list;
  #open = 0;
  #opener = null;

  constructor() {
    panels += 1;
    this.#list = h("ol", { class: "chips", "aria-label": t.sources });
    this.#panel = h("div", { class: "source-panel", id: `source-panel-${panels}`, hidden: true });
    this.#panel.setAttribute("role", "region");
    this.#panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#close();
    });
    this.element = h("div", { class: "sources", hidden: true }, this.#list, this.#panel);
  }

  /** Take the list that the server sent. */
  set(sources) {
    this.#sources = sources;
    this.#close(false);
    this.#chips = sources.map((source, index) =>
      h(
        "button",
        {
          type: "button",
          class: "chip",
          title: where(source),
          "aria-expanded": "false",
          "aria-controls": this.#panel.id,
          "aria-label": t.source(index + 1, where(source)),
          onclick: () => this.#toggle(index + 1, this.#chips[index]),
        },
        h("span", { class: "chip-number", text: `[${index + 1}]` }),
        h("span", { class: "chip-title", text: leafHeading(source) }),
      ),
    );
    this.#list.replaceChildren(...this.#chips.map((chip) => h("li", {}, chip)));
    this.element.hidden = sources.length === 0;
  }

  /** The chip that stands for `[n]` in the text; null where there is no such source. */
  cite(n) {
    const source = this.#sources[n - 1];
    if (!source) return null;
    this.#chips[n - 1].classList.add("cited");
    const chip = h("button", {
      type: "button",
      class: "cite",
      text: `[${n}]`,
      title: where(source),
      "aria-label": t.source(n, where(source)),
      "aria-controls": this.#panel.id,
    });
    chip.addEventListener("click", () => this.#toggle(n, chip));
    return chip;
  }

  #toggle(n, opener) {
    if (this.#open === n && (opener === this.#opener || opener.classList.contains("chip"))) {
      this.#close(false);
      return;
    }
    this.#close(false);
    this.#open = n;
    this.#opener = opener;
    this.#chips[n - 1].setAttribute("aria-expanded", "true");
    this.#fill(n, this.#sources[n - 1]);
    this.#panel.hidden = false;
    this.#panel.focus({ preventScroll: true });
    this.#panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  #close(focus = true) {
    if (!this.#open) return;
    this.#chips[this.#open - 1].setAttribute("aria-expanded", "false");
    this.#open = 0;
    this.#panel.hidden = true;
    if (focus && this.#opener?.isConnected) this.#opener.focus();
  }

  #fill(n, source) {
    const snippet = h("blockquote", { class: "snippet", text: source.snippet || source.title });
    const note = h("p", { class: "hint", role: "status" });
    const more = h("button", { type: "button", class: "quiet", text: t.whole });
    more.addEventListener("click", async () => {
      more.disabled = true;
      note.textContent = "";
      try {
        const passage = await json(`passages/${encodeURIComponent(source.id)}`);
        snippet.textContent = passage.text;
        snippet.classList.add("whole");
        snippet.tabIndex = 0;
        snippet.focus();
        more.remove();
      } catch (problem) {
        note.textContent = problem.status === 404 ? t.passageGone : t.passageFailed;
        more.disabled = problem.status === 404;
      }
    });
    const href = safeAddress(source.address ?? "");
    const address = href
      ? h("a", { href, target: "_blank", rel: "noopener noreferrer", text: source.address })
      : h("span", { text: source.address ?? "" });
    this.#panel.tabIndex = -1;
    this.#panel.setAttribute("aria-label", t.source(n, where(source)));
    this.#panel.replaceChildren(
      h(
        "div",
        { class: "source-head" },
        h("span", { class: "chip-number", text: `[${n}]` }),
        h(
          "div",
          { class: "source-names" },
          h("strong", { text: source.title || source.address }),
          source.heading ? h("span", { class: "source-heading", text: source.heading }) : null,
        ),
        h(
          "button",
          { type: "button", class: "icon-button", "aria-label": t.close, title: t.close, onclick: () => this.#close() },
          icon("close"),
        ),
      ),
      snippet,
      h("div", { class: "source-foot" }, more, address),
      note,
    );
  }
}

const where = ({ title, heading, address }) =>
  [title || address, heading].filter(Boolean).join(" › ");

/** The last of the headings above a passage, which is what tells passages of one document apart. */
const leafHeading = ({ title, heading, address }) =>
  (heading || "").split(/ [>›] /).pop() || title || address;
