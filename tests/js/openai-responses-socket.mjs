// OpenAI's own SDK for Node, asking for responses over a WebSocket: one after the other, at once,
// with tools, refused, cut, cancelled, and over another connection in place of the one that was lost.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { commands, options, report } from "./driver.mjs";

const client = new OpenAI({ baseURL: options.url, apiKey: options.key, maxRetries: 0 });
const LAST = ["response.completed", "response.failed", "response.incomplete"];

// The events of all lanes, until each has ended; or the error that the socket told.
async function read(socket, lanes, see = () => {}) {
  const texts = {};
  const ended = {};
  for await (const event of socket.stream()) {
    if (event.type === "error") return { error: event.error.error };
    if (event.type !== "message") continue;
    const { message } = event;
    const lane = message.stream_id ?? "";
    await see(message);
    if (message.type === "response.output_text.delta")
      texts[lane] = (texts[lane] ?? "") + message.delta;
    if (LAST.includes(message.type)) ended[lane] = message.response;
    if (Object.keys(ended).length === lanes) return { texts, ended };
  }
}

const ask = (socket, fields) => socket.send({ type: "response.create", model: "m-1", ...fields });

const acts = {
  async dialogue() {
    const socket = new ResponsesWS(client);
    ask(socket, { input: "One", store: false });
    const first = await read(socket, 1);
    ask(socket, { input: "Two", store: false, previous_response_id: first.ended[""].id });
    const second = await read(socket, 1);
    socket.close();
    return { texts: [first.texts[""], second.texts[""]] };
  },
  async lanes({ count }) {
    const socket = new ResponsesWS(client);
    for (let n = 0; n < count; n++) ask(socket, { input: `question ${n}`, stream_id: `l${n}` });
    const { texts } = await read(socket, count);
    socket.close();
    return { texts };
  },
  async refused(fields) {
    const socket = new ResponsesWS(client);
    ask(socket, fields);
    const { error } = await read(socket, 1);
    ask(socket, { input: "Hi" });
    const { texts } = await read(socket, 1);
    socket.close();
    return { error, text: texts[""] };
  },
  async tools(fields) {
    const socket = new ResponsesWS(client);
    ask(socket, { input: "How is it?", ...fields });
    const { id, output } = (await read(socket, 1)).ended[""];
    const [{ type, call_id, name, arguments: given }] = output;
    const result = { type: "function_call_output", call_id, output: "18 °C" };
    ask(socket, { input: [result], previous_response_id: id });
    const { texts } = await read(socket, 1);
    socket.close();
    return { type, name, given, text: texts[""] };
  },
  async failed() {
    const socket = new ResponsesWS(client);
    ask(socket, { input: "Hi" });
    const { texts, ended } = await read(socket, 1);
    ask(socket, { input: "Hi" });
    const then = await read(socket, 1);
    socket.close();
    const { status, error } = ended[""];
    return { text: texts[""], status, code: error.code, then: then.texts[""] };
  },
  // Asks, has its connection end, and asks on over the one that the SDK opens by itself.
  async comeBack() {
    const reconnect = {
      maxRetries: 1000,
      initialDelay: 50,
      maxDelay: 200,
      onReconnecting: ({ closeCode, attempt }) => {
        if (attempt === 1) report({ is: "reconnecting", code: closeCode });
      },
    };
    const socket = new ResponsesWS(client, { reconnect });
    ask(socket, { input: "One" });
    const first = await read(socket, 1);
    const back = new Promise((resolve) => socket.once("reconnected", resolve));
    report({ is: "answered" });
    await back;
    ask(socket, { input: "Two", previous_response_id: first.ended[""].id });
    const { texts } = await read(socket, 1);
    socket.close();
    return { text: texts[""] };
  },
  async cancel() {
    const socket = new ResponsesWS(client);
    ask(socket, { input: "Hi" });
    const { ended } = await read(socket, 1, (message) => {
      if (message.type === "response.output_text.delta")
        socket.send({ type: "response.cancel" });
    });
    socket.close();
    return { status: ended[""].status };
  },
};

for await (const { act, ...fields } of commands()) {
  try {
    report({ is: "done", act, ...(await acts[act](fields)) });
  } catch (error) {
    report({ is: "failed", act, name: error.constructor.name, message: error.message });
  }
}
