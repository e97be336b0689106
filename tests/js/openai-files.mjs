// OpenAI's own SDK for Node, with files: uploads, lists, reads, asks about, removes.
import OpenAI, { toFile } from "openai";
import { commands, options, report } from "./driver.mjs";

const client = new OpenAI({ baseURL: options.url, apiKey: options.key, maxRetries: 0 });

const acts = {
  async upload({ name, hex }) {
    const file = await toFile(Buffer.from(hex, "hex"), name);
    return { file: await client.files.create({ file, purpose: "user_data" }) };
  },
  async retrieve({ id }) {
    return { file: await client.files.retrieve(id) };
  },
  async content({ id }) {
    const response = await client.files.content(id);
    return { hex: Buffer.from(await response.arrayBuffer()).toString("hex") };
  },
  async list(fields) {
    const ids = [];
    for await (const file of client.files.list(fields)) ids.push(file.id);
    return { ids };
  },
  async remove({ id }) {
    return await client.files.delete(id);
  },
  async respond({ id }) {
    const content = [{ type: "input_file", file_id: id }];
    const made = await client.responses.create({ model: "m-1", input: [{ role: "user", content }] });
    return { status: made.status };
  },
};

for await (const { act, ...fields } of commands()) {
  try {
    report({ is: "done", act, ...(await acts[act](fields)) });
  } catch (error) {
    report({ is: "failed", act, status: error.status, code: error.code, message: error.message });
  }
}
