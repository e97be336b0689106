import { page } from "./dom.js";
import { StrictMode, useState, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ServerResponse } from "node:http";
import { WebSocket } from "ws";
import type { Fairlead } from "../src/index.js";
import {
  Chat,
  MessageBubble,
  useAnswer,
  useConversation,
  type UseAnswer,
  type UseConversation,
} from "../src/react/index.js";
import {
  ANSWER,
  block,
  body,
  client,
  cut,
  HEAD,
  json,
  position,
  read,
  seen,
  serve,
  serveSockets,
  STREAM,
  TEXT,
  TOKENS,
  type Said,
} from "./support.js";

let root: Root;
let host: HTMLElement;

afterAll(async () => {
  await page.happyDOM.close();
});
beforeEach(() => {
  host = document.createElement("div");
  document.body.append(host);
  root = createRoot(host);
});
afterEach(async () => {
  await act(() => root.unmount());
  host.remove();
});

/** Do something, and let React do what follows from it. */
async function act(work: () => unknown): Promise<void> {
  work();
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const show = (node: ReactNode) => act(() => root.render(<StrictMode>{node}</StrictMode>));

/** Wait until the page is as it should be. */
const until = (holds: () => unknown) =>
  vi.waitFor(() => expect(holds()).toBeTruthy(), { interval: 1, timeout: 30_000 });

const find = (selector: string) => host.querySelector<HTMLElement>(selector);
const texts = (selector: string) =>
  [...host.querySelectorAll<HTMLElement>(selector)].map(({ textContent }) => textContent);

async function write(text: string) {
  const input = find("textarea") as HTMLTextAreaElement;
  await act(() => {
    const { set } = Object.getOwnPropertyDescriptor(page.HTMLTextAreaElement.prototype, "value")!;
    set!.call(input, text);
    input.dispatchEvent(new page.Event("input", { bubbles: true }) as unknown as Event);
  });
}
async function press(key: string, init: object = {}) {
  await act(() => {
    const event = new page.KeyboardEvent("keydown", {
      key,
      bubbles: true,
      cancelable: true,
      ...init,
    });
    find("textarea")!.dispatchEvent(event as unknown as Event);
  });
}
test("useAnswer shows the whole text, cuts and all, and its promise gives it", async () => {
  const { url } = await serve((request, response, number) => {
    if (number < 4) return cut(response, block(seen(request)) + block(seen(request) + 1));
    response.writeHead(200, HEAD);
    return response.end(body(seen(request)));
  });
  const fairlead = client(url);
  let hook!: UseAnswer;
  function Page() {
    hook = useAnswer(fairlead);
    return <p>{hook.answer?.text}</p>;
  }
  await show(<Page />);
  expect(hook).toMatchObject({ answer: null, running: false });
  const { ask } = hook;
  let ended!: ReturnType<UseAnswer["ask"]>;
  await act(() => {
    ended = ask("?");
  });
  expect(hook.running).toBe(true);
  await until(() => hook.answer?.status === "completed");
  expect(find("p")!.textContent).toBe(TEXT);
  expect((await ended).text).toBe(TEXT);
  expect(hook.ask).toBe(ask);
  expect(hook.connection?.state).toBe("open");
  await act(() => hook.clear());
  expect(hook.answer).toBeNull();
});

test("useAnswer: a new question leaves the old answer, which cannot show up any more", async () => {
  const open: ServerResponse[] = [];
  const { url } = await serve((request, response) => {
    response.writeHead(200, HEAD);
    if (request.body.includes("new")) return response.end(body());
    open.push(response);
    return response.write(block(0) + block(2));
  });
  const fairlead = client(url);
  let hook!: UseAnswer;
  function Page() {
    hook = useAnswer(fairlead);
    return <p>{hook.answer?.text}</p>;
  }
  await show(<Page />);
  await act(() => void hook.ask("old"));
  await until(() => hook.answer?.text);
  const closed = new Promise((resolve) => open[0]!.on("close", resolve));
  await act(() => void hook.ask("new"));
  await closed;
  await until(() => hook.answer?.status === "completed");
  expect(find("p")!.textContent).toBe(TEXT);
});

test("useAnswer shows what failed and keeps what was written", async () => {
  const { url } = await serve((request, response) => {
    if (request.method === "GET") return json(response, { error: "gone", code: "gone" }, 410);
    return cut(response, block(0) + block(2));
  });
  const fairlead = client(url);
  let hook!: UseAnswer;
  function Page() {
    hook = useAnswer(fairlead);
    return null;
  }
  await show(<Page />);
  await act(() => void hook.ask("?"));
  await until(() => hook.answer?.status === "failed");
  expect(hook.answer).toMatchObject({ text: "Fähr", error: { code: "gone" } });
  expect(hook.running).toBe(false);
});

/** A page that keeps the id of its dialogue, as an address would. */
function Page({ fairlead, id }: { fairlead: Fairlead; id?: string }) {
  const [kept, keep] = useState(id);
  return (
    <Chat client={fairlead} conversationId={kept} onConversation={keep} labels={{ send: "Ask" }} />
  );
}

const withIds = (text: string) =>
  text.replace('"message_id":"m1"', '"message_id":"m1","conversation_id":"c1"');

test("Chat asks, shows, asks on in the same dialogue, and fetches nothing it has", async () => {
  const { url, asked } = await serve((_, response) => {
    response.writeHead(200, HEAD);
    response.end(withIds(body()));
  });
  await show(<Page fairlead={client(url)} />);
  expect(find("button")!.textContent).toBe("Ask");
  expect(find("button")).toHaveProperty("disabled", true);

  await write("第一个问题");
  await press("Enter", { isComposing: true });
  await press("Enter", { shiftKey: true });
  expect(asked).toHaveLength(0);
  await press("Enter");
  await until(() => find('[data-role="assistant"][data-status="completed"]'));
  expect(texts('[data-fairlead="text"]')).toEqual(["第一个问题", TEXT]);
  expect(texts('[data-fairlead="sources"] a')).toEqual(["Täu"]);
  expect(find('[data-fairlead="thinking"]')).toBeNull();
  expect((find("textarea") as HTMLTextAreaElement).value).toBe("");

  await write("And then?");
  await press("Enter");
  await until(() => texts('[data-status="completed"]').length === 4);
  expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual(
    Array(2).fill("POST /chat/stream"),
  );
  expect(JSON.parse(asked[1]!.body)).toEqual({ message: "And then?", conversation_id: "c1" });
});

test("Chat loads a dialogue and reads on an answer that is being written", async () => {
  const { url, asked } = await serve((request, response) => {
    if (request.url.startsWith("/streams")) {
      response.writeHead(200, HEAD);
      return response.end(body());
    }
    const message = (message_id: string, parent: string | null, role: string, more = {}) => ({
      message_id,
      parent,
      role,
      text: message_id,
      status: "completed",
      created: 1,
      ...more,
    });
    return json(response, {
      conversation_id: "c1",
      title: "t",
      leaf: "a2",
      messages: [
        message("q1", null, "user"),
        message("a1", "q1", "assistant"),
        message("other", "q1", "assistant"),
        message("q2", "a1", "user"),
        message("a2", "q2", "assistant", { stream: STREAM, status: "running", text: "" }),
      ],
    });
  });
  await show(<Page fairlead={client(url)} id="c1" />);
  await until(() => texts('[data-status="completed"]').length === 4);
  expect(texts('[data-fairlead="text"]')).toEqual(["q1", "a1", "q2", TEXT]);
  expect(asked.filter(({ method }) => method === "POST")).toHaveLength(0);
});

test("Chat stops an answer", async () => {
  let first: ServerResponse;
  const { url } = await serve((request, response) => {
    if (request.url.endsWith("/stop")) {
      first.end(`id: ${STREAM}.1999\nevent: done\ndata: {"status":"stopped","reason":"stop"}\n\n`);
      return json(response, {});
    }
    first = response;
    response.writeHead(200, HEAD);
    return response.write(block(0));
  });
  await show(<Page fairlead={client(url)} />);
  await write("?");
  await press("Enter");
  await until(() => find('[data-fairlead="thinking"]')?.textContent === "检索中…");
  expect(find("button")!.textContent).toBe("Stop");
  await act(() => find("button")!.click());
  await until(() => find('[data-status="stopped"]'));
  expect(find("button")!.textContent).toBe("Ask");
});

/** A server whose first answer goes on until it is interrupted, over a WebSocket. */
async function interruptible() {
  let first: ServerResponse | undefined;
  const said: Said[] = [];
  const { url } = await serveSockets(
    (act, peer) => {
      said.push(act);
      const done = '{"status":"stopped","reason":"stop"}';
      first!.end(`id: ${STREAM}.1999\nevent: done\ndata: ${done}\n\n`);
      read(act, peer, undefined, "7777777777777777777777777a");
    },
    (_, response) => {
      first = response;
      response.writeHead(200, HEAD);
      response.write(block(0) + block(2));
    },
  );
  return { said, fairlead: client(url, { WebSocket }) };
}

test("Chat: what is sent while an answer is written interrupts it", async () => {
  const { said, fairlead } = await interruptible();
  await show(<Page fairlead={fairlead} />);
  await write("Count.");
  await press("Enter");
  await until(() => texts('[data-fairlead="text"]').includes("Fähr"));
  expect(find("button")!.textContent).toBe("Stop");
  await write("From four!");
  expect(find("button")!.textContent).toBe("Ask");
  await press("Enter");
  await until(() => texts('[data-role="assistant"]').length === 2 && !find('[aria-busy="true"]'));
  expect(texts('[data-fairlead="text"]')).toEqual(["Count.", "Fähr", "From four!", TEXT]);
  const status = [...host.querySelectorAll('[data-role="assistant"]')].map((element) =>
    element.getAttribute("data-status"),
  );
  expect(status).toEqual(["stopped", "completed"]);
  expect(said).toEqual([
    expect.objectContaining({ type: "interrupt", stream: STREAM, message: "From four!" }),
  ]);
  expect(said[0]!["shown"]).toBe(position(2));
});

test("useAnswer: interrupting shows the next answer, or asks where there is none", async () => {
  const { said, fairlead } = await interruptible();
  let hook!: UseAnswer;
  function Probe() {
    hook = useAnswer(fairlead);
    return <p>{hook.answer?.text}</p>;
  }
  await show(<Probe />);
  await act(() => void hook.interrupt("Count."));
  await until(() => find("p")!.textContent === "Fähr");
  expect(said).toHaveLength(0);
  await act(() => void hook.interrupt("From four!"));
  await until(() => hook.answer?.status === "completed");
  expect(find("p")!.textContent).toBe(TEXT);
  expect(said).toEqual([expect.objectContaining({ type: "interrupt", shown: position(2) })]);
});

test("Chat says why a dialogue cannot be fetched", async () => {
  const { url } = await serve((_, response) =>
    json(response, { error: "no credential", code: "unauthenticated" }, 401),
  );
  await show(<Page fairlead={client(url)} id="c1" />);
  await until(() => find('[data-fairlead="chat"] > [role="alert"]'));
  expect(find('[role="alert"]')!.textContent).toBe("no credential");
});

test("edit and regenerate make branches", async () => {
  let number = 0;
  const { url, asked } = await serve(({ method }, response) => {
    if (method === "GET") return json(response, { error: "none", code: "not_found" }, 404);
    number += 1;
    response.writeHead(200, HEAD);
    response.end(withIds(body()).replace('"message_id":"m1"', `"message_id":"m${number}"`));
  });
  const fairlead = client(url);
  let hook!: ReturnType<typeof useConversation>;
  function Probe() {
    hook = useConversation(fairlead, { ask: { model: "big" } });
    return null;
  }
  await show(<Probe />);
  for (const step of [
    () => hook.send("one"),
    () => hook.send("two"),
    () => hook.edit(hook.messages[2]!, "zwei"),
    () => hook.regenerate(),
    () => hook.edit(hook.messages[0]!, "eins"),
  ]) {
    await act(() => void step());
    await until(() => !hook.busy);
  }
  const questions = asked.filter(({ method }) => method === "POST");
  expect(questions.map(({ body }) => JSON.parse(body) as object)).toEqual([
    { message: "one", model: "big" },
    { message: "two", model: "big", conversation_id: "c1" },
    { message: "zwei", model: "big", conversation_id: "c1", parent: "m1" },
    { model: "big", conversation_id: "c1", regenerate: "m3" },
    { message: "eins", model: "big", conversation_id: "c1", parent: "" },
  ]);
  expect(hook.messages.map(({ role, text }) => [role, text])).toEqual([
    ["user", "eins"],
    ["assistant", TEXT],
  ]);
  expect(await hook.send("  ")).toBeNull();
});

test("a source that is no web address is no link", async () => {
  const source = (address: string) => ({
    id: address,
    title: "",
    address,
    heading: "",
    span: [0, 1] as [number, number],
    score: 1,
    snippet: "",
  });
  await show(
    <MessageBubble
      renderText={(text) => <b>{text}</b>}
      message={{
        key: "k",
        id: "",
        role: "assistant",
        status: "completed",
        text: "bold",
        reasoning: "",
        thinking: null,
        progress: null,
        media: [],
        tools: [],
        usage: null,
        model: "",
        provider: "",
        attachments: [],
        siblings: [],
        created: 0,
        error: null,
        stream: "",
        sources: ["javascript:alert(1)", "handbook.md", "https://x.test/"].map(source),
      }}
    />,
  );
  expect(texts("b")).toEqual(["bold"]);
  expect(texts("li")).toHaveLength(3);
  expect(texts("a")).toEqual(["https://x.test/"]);
});

test("text that comes fast is rendered now and then, and the end at once", async () => {
  let response!: ServerResponse;
  const { url } = await serve((_, opened) => {
    response = opened;
    response.writeHead(200, HEAD);
    response.write(block(0));
  });
  const fairlead = client(url);
  let events = 0;
  let hook!: UseConversation;
  function Page() {
    hook = useConversation(fairlead, { onEvent: () => (events += 1) });
    return <p>{hook.messages.at(-1)?.text}</p>;
  }
  /** Wait for so many events, and for what React does with them. No timer runs meanwhile. */
  const came = async (count: number) => {
    while (events < count) await new Promise((resolve) => setImmediate(resolve));
    await act(() => {});
  };
  await show(<Page />);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    void hook.send("?");
    await came(1);
    response.write(block(1) + block(2) + block(3));
    await came(4);
    expect(hook.messages.at(-1)!.sources).toHaveLength(1);
    expect(find("p")!.textContent).toBe("");
    await act(() => vi.advanceTimersByTime(30));
    expect(find("p")!.textContent).toBe(TOKENS.slice(0, 2).join(""));
    response.end(body(4));
    await came(ANSWER.length);
    expect(find("p")!.textContent).toBe(TEXT);
    expect(hook.messages.at(-1)!.status).toBe("completed");
  } finally {
    vi.useRealTimers();
  }
});
