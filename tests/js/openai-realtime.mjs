// OpenAI's own SDK for Node in Realtime sessions: the class for servers (`ws`), and the one for
// browsers (`browser`), whose WebSocket is here the same package's. Both speak TLS alone.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import WebSocket from "ws";
import { commands, options, report } from "./driver.mjs";

const ca = readFileSync(options.ca);
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { ca });
  }
};

class Session {
  events = [];
  #wake = () => {};

  constructor(kind, model, apiKey) {
    const client = new OpenAI({ baseURL: options.url, apiKey });
    const props = { model, dangerouslyAllowBrowser: true };
    this.rt =
      kind === "ws"
        ? new OpenAIRealtimeWS({ ...props, options: { ca } }, client)
        : new OpenAIRealtimeWebSocket(props, client);
    this.rt.on("event", (event) => this.#add(event));
    this.rt.on("error", (error) => {
      if (!error.error) this.#add({ type: "broken", message: error.message });
    });
    this.rt.socket.addEventListener("close", ({ code }) => this.#add({ type: "closed", code }));
  }

  #add(event) {
    this.events.push(event);
    this.#wake();
  }

  // The events up to the first of these types, which are not given again.
  async until(...types) {
    for (;;) {
      const at = this.events.findIndex((event) => types.includes(event.type));
      if (at >= 0) return this.events.splice(0, at + 1);
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  say(text) {
    const content = [{ type: "input_text", text }];
    const item = { type: "message", role: "user", content };
    this.rt.send({ type: "conversation.item.create", item });
  }

  async ask(text, response) {
    this.say(text);
    this.rt.send({ type: "response.create", response });
    return summed(await this.until("response.done", "error", "closed"));
  }
}

const summed = (events) => ({
  text: events
    .filter((event) => event.type === "response.output_text.delta")
    .map((event) => event.delta)
    .join(""),
  types: events.map((event) => event.type),
  last: events.at(-1),
});

const sessions = new Map();

const acts = {
  async open({ name, kind, model = "m-1", key = options.key }) {
    const session = new Session(kind, model, key);
    sessions.set(name, session);
    const events = await session.until("session.created", "closed", "broken");
    return { last: events.at(-1), events, protocol: session.rt.socket.protocol };
  },
  async ask({ name, text, response }) {
    return await sessions.get(name).ask(text, response);
  },
  async send({ name, event }) {
    sessions.get(name).rt.send(event);
    return {};
  },
  async until({ name, types }) {
    return summed(await sessions.get(name).until(...types));
  },
  async close({ name }) {
    const session = sessions.get(name);
    session.rt.close();
    return summed(await session.until("closed"));
  },
  async many({ count, kind }) {
    const asked = Array.from({ length: count }, async (_, n) => {
      const session = new Session(kind, "m-1", options.key);
      await session.until("session.created");
      const { text } = await session.ask(`question ${n}`);
      session.rt.close();
      return text;
    });
    return { texts: await Promise.all(asked) };
  },
};

async function obey({ act, ...fields }) {
  try {
    report({ is: "done", act, ...(await acts[act](fields)) });
  } catch (error) {
    report({ is: "failed", act, message: error.message });
  }
}

// A command may be given while another one is being done.
for await (const command of commands()) void obey(command);
process.exit();
