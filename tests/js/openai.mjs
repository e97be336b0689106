// OpenAI's own SDK for Node: asks, streams, calls tools, is refused, cancels, comes back.
import OpenAI from "openai";
import { commands, options, report } from "./driver.mjs";

const client = new OpenAI({ baseURL: options.url, apiKey: options.key, maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];

const failure = (error) => ({
  name: error.constructor.name,
  status: error.status,
  code: error.code,
  param: error.param,
  message: error.message,
});

const acts = {
  async whole(fields) {
    const made = await client.chat.completions.create({ model: "m-1", messages, ...fields });
    const [choice] = made.choices;
    return { ...choice.message, finish: choice.finish_reason, usage: made.usage };
  },
  async stream({ headers, ...fields }) {
    const asked = { model: "m-1", messages, stream: true, ...fields };
    const { data, response } = await client.chat.completions
      .create(asked, { headers })
      .withResponse();
    let text = "";
    try {
      for await (const chunk of data) {
        text += chunk.choices[0]?.delta?.content ?? "";
        report({ is: "chunk", text });
      }
    } catch (error) {
      return { text, failed: failure(error) };
    }
    return { text, stream: response.headers.get("fairlead-stream") };
  },
  async runner(fields) {
    const runner = client.chat.completions.stream({ model: "m-1", messages, ...fields });
    const made = await runner.finalChatCompletion();
    return { calls: made.choices[0].message.tool_calls, finish: made.choices[0].finish_reason };
  },
  async cancel({ headers, ...fields }) {
    const stream = await client.chat.completions.create(
      { model: "m-1", messages, stream: true, ...fields },
      { headers },
    );
    for await (const chunk of stream) {
      stream.controller.abort();
      return { text: chunk.choices[0].delta.content };
    }
  },
  async many({ count }) {
    const asked = Array.from({ length: count }, async (_, n) => {
      const question = [{ role: "user", content: `question ${n}` }];
      const stream = await client.chat.completions.create({
        model: "m-1",
        messages: question,
        stream: true,
      });
      let text = "";
      for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
      return text;
    });
    return { texts: await Promise.all(asked) };
  },
  async resume({ stream, after }) {
    // The vendor's API has no resuming; the SDK's own way to a path that it does not know.
    const response = await client.get(`/chat/completions/${stream}`, {
      query: { stream: true },
      headers: { "Last-Event-ID": after },
      stream: true,
    });
    let text = "";
    for await (const chunk of response) text += chunk.choices[0]?.delta?.content ?? "";
    return { text };
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return { names };
  },
  async embed(fields) {
    const made = await client.embeddings.create({ model: "embed-1", ...fields });
    return { sizes: made.data.map((each) => each.embedding.length) };
  },
};

for await (const { act, ...fields } of commands()) {
  try {
    report({ is: "done", act, ...(await acts[act](fields)) });
  } catch (error) {
    report({ is: "failed", act, ...failure(error) });
  }
}
