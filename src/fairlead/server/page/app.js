// The page: one conversation, its composer, and what has to survive a reload.

import { Answer } from "./answer.js";
import { Drawer } from "./drawer.js";
import { hasKey, json, useKey, uuid } from "./api.js";
import { errorWords, t, translate } from "./strings.js";
import { h } from "./dom.js";

const $ = (id) => document.getElementById(id);
/** A question on its way: if the page goes before the server has answered, it is sent again with
 * the same key, which asks it once. */
const PENDING = "fairlead.pending";
/** Pixels from the bottom within which the page follows a growing answer. */
const NEAR = 80;

let conversation = "";
let answers = [];
let follows = true;
let lastY = 0;
/** Rises whenever another conversation is shown; what an older load brings is dropped. */
let generation = 0;
/** What the page does once a key has been given. */
let afterKey = null;

// -- the conversation -----------------------------------------------------------------------------

const running = () => answers.find((answer) => answer.status === "running");

function leave() {
  generation += 1;
  for (const answer of answers) answer.leave();
  answers = [];
  sessionStorage.removeItem(PENDING);
  $("messages").replaceChildren();
  $("page-problem").hidden = true;
}

function startNew() {
  leave();
  conversation = "";
  document.title = "Fairlead";
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  $("welcome").hidden = false;
  refreshControls();
  focusComposer();
}

function openConversation(id) {
  location.hash = encodeURIComponent(id);
}

async function load(id) {
  leave();
  const mine = generation;
  conversation = id;
  $("welcome").hidden = true;
  let found;
  try {
    found = await json(`conversations/${encodeURIComponent(id)}`);
  } catch (problem) {
    if (mine !== generation) return;
    if (problem.status === 404) {
      startNew();
      showProblem(t.noConversation);
    } else if (problem.code === "unauthenticated") askForKey(() => load(id));
    else showProblem(errorWords(problem.code), () => load(id));
    return;
  }
  if (mine !== generation) return;
  entitle(found.title);
  follows = true;
  for (const message of branch(found)) {
    if (message.role === "user") addQuestion(message.text);
    else if (message.role === "assistant") addAnswer(message);
  }
  refreshControls();
  scrollTo(0, document.body.scrollHeight);
}

/** The messages from the first to the leaf, along the branch in use. */
function branch({ messages, leaf }) {
  const known = new Map(messages.map((message) => [message.message_id, message]));
  const path = [];
  let at = known.get(leaf) ?? messages.at(-1);
  while (at && path.length <= messages.length) {
    path.unshift(at);
    at = known.get(at.parent);
  }
  return path;
}

function addQuestion(text) {
  $("welcome").hidden = true;
  $("messages").append(h("article", { class: "question", "aria-label": t.you }, h("p", { text })));
}

function newAnswer() {
  const answer = new Answer(host);
  answers.push(answer);
  return answer;
}

function addAnswer(message) {
  const answer = newAnswer();
  answer.messageId = message.message_id;
  answer.stream = message.stream;
  $("messages").append(answer.element);
  if (message.status === "running" && message.stream) return answer.attach(message.stream);
  answer.show(message);
  if (message.status === "failed" && message.stream) {
    json(`streams/${message.stream}`).then(
      (found) => found.error && answer.explain({ ...found, message: found.error }),
      () => {}, // the words that stand there already have to do
    );
  }
}

const host = {
  accepted(answer, id) {
    sessionStorage.removeItem(PENDING);
    $("page-problem").hidden = true;
    // A question sent again that had arrived after all: it stands on the page already.
    if (answers.some((other) => other !== answer && other.stream === answer.stream)) return load(id);
    if (!id || conversation === id) return;
    conversation = id;
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  },
  changed() {
    if (follows) scrollTo(0, document.body.scrollHeight);
    else refreshJump();
  },
  ended(answer) {
    // An answer to the pending question that is an error: trying again is the reader's to decide.
    sessionStorage.removeItem(PENDING);
    refreshControls();
    if (answer.status !== "failed" && matchMedia("(pointer: fine)").matches) {
      const focused = document.activeElement;
      if (focused === document.body || focused === $("stop")) focusComposer();
    }
  },
  again(answer) {
    if (running()) return;
    const next = newAnswer();
    answers = answers.filter((each) => each !== answer);
    answer.leave();
    answer.element.replaceWith(next.element);
    follows = true;
    // Where the server knows the answer, it is another branch; else the question was never taken.
    if (answer.messageId) {
      ask(next, { regenerate: answer.messageId, conversation_id: conversation });
    } else {
      next.start = answer.start;
      ask(next, answer.start.body, answer.start.key);
    }
  },
  announce(text) {
    $("announcer").textContent = text;
  },
  needKey(answer) {
    askForKey(() => (answer.messageId && conversation ? load(conversation) : host.again(answer)));
  },
};

function ask(answer, body, key = uuid()) {
  answer.start = { body, key };
  sessionStorage.setItem(PENDING, JSON.stringify({ body, key, question: questionOf(answer) }));
  answer.ask(answer.start);
  refreshControls();
}

const questionOf = (answer) => answer.element.previousElementSibling?.textContent ?? "";

function send(text) {
  addQuestion(text);
  const answer = newAnswer();
  $("messages").append(answer.element);
  follows = true;
  if (!document.title.includes("·")) entitle(text);
  ask(answer, conversation ? { message: text, conversation_id: conversation } : { message: text });
  scrollTo(0, document.body.scrollHeight);
}

function entitle(title) {
  const line = (title ?? "").replace(/\s+/g, " ").trim().slice(0, 60);
  document.title = line ? `${line} · Fairlead` : "Fairlead";
}

// -- the composer ---------------------------------------------------------------------------------

function focusComposer() {
  // Not on a phone, where focus brings the keyboard up.
  if (matchMedia("(pointer: fine)").matches) $("question").focus({ preventScroll: true });
}

function fit() {
  const area = $("question");
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
  $("send").disabled = area.value.trim() === "";
}

function refreshControls() {
  const busy = running() !== undefined;
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("stop").disabled = false;
  for (const answer of answers) {
    answer.element.classList.toggle("last", answer === answers.at(-1) && !busy);
  }
}

function submit() {
  const text = $("question").value.trim();
  if (!text || running()) return;
  $("question").value = "";
  fit();
  send(text);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("question").addEventListener("input", fit);
$("question").addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word (229: Safari's sign of it).
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
$("stop").addEventListener("click", async () => {
  $("stop").disabled = true;
  try {
    await running()?.stop();
  } catch (problem) {
    $("stop").disabled = false;
    showProblem(errorWords(problem.code));
  }
});
$("new-conversation").addEventListener("click", startNew);

// -- scrolling ------------------------------------------------------------------------------------

const atBottom = () => innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR;

function refreshJump() {
  $("jump").hidden = follows || atBottom();
}

addEventListener(
  "scroll",
  () => {
    // Only a reader scrolls up; a growing page may be past its old end for a moment.
    if (scrollY < lastY || atBottom()) follows = atBottom();
    lastY = scrollY;
    refreshJump();
  },
  { passive: true },
);
$("jump").addEventListener("click", () => {
  follows = true;
  scrollTo({ top: document.body.scrollHeight, behavior: "smooth" });
});

// -- problems and keys ----------------------------------------------------------------------------

function showProblem(words, retry = null) {
  const button = retry && h("button", { type: "button", class: "quiet", text: t.retry });
  button?.addEventListener("click", () => {
    $("page-problem").hidden = true;
    retry();
  });
  $("page-problem").replaceChildren(h("p", { text: words }), ...(button ? [button] : []));
  $("page-problem").hidden = false;
}

function askForKey(then) {
  afterKey = then;
  $("key-hint").textContent = hasKey() ? t.keyRefused : t.keyHint;
  $("key-form").classList.toggle("refused", hasKey());
  $("key-form").hidden = false;
  $("composer").hidden = true;
  $("keys").hidden = true;
  $("key").value = "";
  $("key").focus();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value.trim());
  $("key-form").hidden = true;
  $("composer").hidden = false;
  $("keys").hidden = false;
  focusComposer();
  const then = afterKey;
  afterKey = null;
  then?.();
});

// -- start ----------------------------------------------------------------------------------------

async function introduce() {
  const info = await json("info");
  const model = info.models?.[0];
  if (model) {
    const provider = model.name === model.provider ? null : h("span", { class: "wide", text: `${model.provider} · ` });
    $("model").replaceChildren(...(provider ? [provider] : []), model.name);
    $("model").title = `Fairlead ${info.version}`;
    $("model").hidden = false;
  }
  $("notice").textContent = info.notice ?? "";
  $("notice").hidden = !info.notice;
  // These are about the documents that a new server brings along.
  const offered = info.notice ? t.suggestions : [];
  $("suggestions").replaceChildren(
    ...offered.map((text) =>
      h("li", {}, h("button", { type: "button", class: "suggestion", text, onclick: () => !running() && send(text) })),
    ),
  );
}

/** The conversation that the address names; empty for a new one. */
function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // not of our making
  }
}

const show = (id) => (id ? load(id) : startNew());

/** Send the question again that was on its way when the page went. */
async function resume({ body, key, question }) {
  await show(body.conversation_id ?? "");
  if (running()) return; // it had arrived: load() reads it already
  const old = answers.find((each) => each.messageId && each.messageId === body.regenerate);
  const answer = newAnswer();
  if (old) {
    answers = answers.filter((each) => each !== old);
    old.element.replaceWith(answer.element);
  } else {
    if (question) addQuestion(question);
    $("messages").append(answer.element);
  }
  ask(answer, body, key);
}

async function begin() {
  try {
    await introduce();
  } catch (problem) {
    if (problem.code === "unauthenticated") return askForKey(begin);
    showProblem(errorWords(problem.code), begin);
    return;
  }
  const pending = sessionStorage.getItem(PENDING);
  if (pending) resume(JSON.parse(pending));
  else show(named());
}

new Drawer({
  current: () => conversation,
  open: openConversation,
  removed: (id) => id === conversation && startNew(),
});
addEventListener("hashchange", () => {
  if (named() !== conversation) show(named());
});
addEventListener("popstate", () => {
  if (!location.hash && conversation) startNew();
});
translate(document);
fit();
focusComposer();
begin();
