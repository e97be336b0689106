// OpenAI's own SDK for Node, asking for responses: streams, calls tools, is refused, cancels, comes
// back.
import OpenAI from "openai";
import { commands, options, report } from "./driver.mjs";

const client = new OpenAI({ baseURL: options.url, apiKey: options.key, maxRetries: 0 });

const failure = (error) => ({
  name: error.constructor.name,
  status: error.status,
  code: error.code,
  param: error.param,
});

async function all(stream, see = () => {}) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    await see(event, events, stream);
  }
  const text = events
    .filter((event) => event.type === "response.output_text.delta")
    .map((event) => event.delta)
    .join("");
  const numbers = events.map((event) => event.sequence_number);
  const last = events.at(-1);
  return { text, numbers, last: last?.type, response: last?.response };
}

const acts = {
  async whole(fields) {
    const made = await client.responses.create({ model: "m-1", input: "Hi", ...fields });
    return { id: made.id, text: made.output_text, status: made.status, output: made.output };
  },
  async stream(fields) {
    const asked = { model: "m-1", input: "Hi", stream: true, ...fields };
    return await all(await client.responses.create(asked));
  },
  async sum(fields) {
    const stream = client.responses.stream({ model: "m-1", input: "Hi", ...fields });
    const made = await stream.finalResponse();
    return { text: made.output_text, output: made.output };
  },
  async cut({ after }) {
    const stream = await client.responses.create(
      { model: "m-1", input: "Hi", stream: true },
      { headers: { "Fairlead-Orphan-Window": "60" } },
    );
    const numbers = [];
    let id;
    for await (const event of stream) {
      id ??= event.response?.id;
      numbers.push(event.sequence_number);
      if (event.sequence_number === after) break;
    }
    return { id, numbers };
  },
  async resume({ id, after }) {
    return await all(await client.responses.retrieve(id, { stream: true, starting_after: after }));
  },
  async cancel() {
    const asked = { model: "m-1", input: "Hi", stream: true, background: true };
    let id;
    return await all(await client.responses.create(asked), async (event) => {
      id ??= event.response?.id;
      if (event.type === "response.output_text.delta") await client.responses.cancel(id);
    });
  },
  async background() {
    const made = await client.responses.create({ model: "m-1", input: "Hi", background: true });
    return { id: made.id, status: made.status };
  },
  async retrieve({ id }) {
    const made = await client.responses.retrieve(id);
    return { text: made.output_text, status: made.status };
  },
  async items({ id }) {
    const items = [];
    for await (const item of client.responses.inputItems.list(id)) items.push(item);
    return { items };
  },
  async remove({ id }) {
    await client.responses.delete(id);
    return await acts.retrieve({ id });
  },
  async many({ count }) {
    const asked = Array.from({ length: count }, async (_, n) => {
      const stream = await client.responses.create({
        model: "m-1",
        input: `question ${n}`,
        stream: true,
      });
      return (await all(stream)).text;
    });
    return { texts: await Promise.all(asked) };
  },
};

for await (const { act, ...fields } of commands()) {
  try {
    report({ is: "done", act, ...(await acts[act](fields)) });
  } catch (error) {
    report({ is: "failed", act, ...failure(error) });
  }
}
