// The list of conversations: open one, delete one.

import { json } from "./api.js";
import { errorWords, language, t } from "./strings.js";
import { h, icon } from "./dom.js";

export class Drawer {
  #dialog = document.getElementById("drawer");
  #body = document.getElementById("conversations");
  #host;

  /** `host`: `current()` gives the open conversation's id; `open(id)`, `removed(id)`. */
  constructor(host) {
    this.#host = host;
    document.getElementById("open-drawer").addEventListener("click", () => this.open());
    document.getElementById("close-drawer").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // the backdrop
    });
  }

  async open() {
    this.#body.replaceChildren(h("p", { class: "hint", text: `${t.loading} …` }));
    this.#dialog.showModal();
    const list = h("ul", { class: "conversation-list" });
    await this.#load(list, null);
  }

  async #load(list, cursor) {
    let page;
    try {
      page = await json(`conversations${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
    } catch (problem) {
      const again = h("button", { type: "button", class: "quiet", text: t.reload });
      again.addEventListener("click", () => this.#load(list, cursor));
      this.#body.replaceChildren(h("p", { class: "hint", text: errorWords(problem.code) }), again);
      return;
    }
    list.append(...page.conversations.map((each) => this.#item(each)));
    if (!list.children.length) {
      this.#body.replaceChildren(h("p", { class: "hint", text: t.empty }));
      return;
    }
    this.#body.replaceChildren(list);
    if (page.cursor) {
      const more = h("button", { type: "button", class: "quiet", text: t.older });
      more.addEventListener("click", () => this.#load(list, page.cursor));
      this.#body.append(more);
    }
  }

  #item({ conversation_id: id, title, updated }) {
    const name = title || t.untitled;
    const open = h(
      "button",
      { type: "button", class: "conversation" },
      h("span", { class: "conversation-title", text: name }),
      h("time", { text: when(updated), dateTime: new Date(updated * 1000).toISOString() }),
    );
    if (id === this.#host.current()) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => {
      this.#dialog.close();
      this.#host.open(id);
    });
    const remove = h(
      "button",
      { type: "button", class: "icon-button remove", "aria-label": t.removeOf(name), title: t.remove },
      icon("trash"),
    );
    const item = h("li", {}, open, remove);
    let sure = false;
    const unsure = () => {
      sure = false;
      remove.classList.remove("sure");
      remove.setAttribute("aria-label", t.removeOf(name));
      remove.replaceChildren(icon("trash"));
    };
    remove.addEventListener("blur", unsure);
    remove.addEventListener("click", async () => {
      if (!sure) {
        sure = true;
        remove.classList.add("sure");
        remove.setAttribute("aria-label", t.removeSure);
        remove.replaceChildren(t.removeSure);
        return;
      }
      try {
        await json(`conversations/${encodeURIComponent(id)}`, { method: "DELETE" });
      } catch (problem) {
        if (problem.status !== 404) {
          unsure();
          item.append(h("p", { class: "hint", role: "alert", text: errorWords(problem.code) }));
          return;
        }
      }
      const next = item.nextElementSibling ?? item.previousElementSibling;
      const list = item.parentElement;
      item.remove();
      next?.querySelector("button").focus();
      if (!list.children.length) {
        this.#body.replaceChildren(h("p", { class: "hint", text: t.empty }));
        document.getElementById("close-drawer").focus();
      }
      this.#host.removed(id);
    });
    return item;
  }
}

function when(seconds) {
  const date = new Date(seconds * 1000);
  const sameDay = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(
    navigator.language,
    sameDay ? { timeStyle: "short" } : { dateStyle: "medium" },
  ).format(date);
}
