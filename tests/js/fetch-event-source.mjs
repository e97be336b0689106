// The chat client in Node. Options: those of ChatClient, and message, body, headers.
// Commands: {"do": "cancel"}. The library asks for two browser globals, which Node lacks.
import { commands, options, report } from "./driver.mjs";

globalThis.window = globalThis;
globalThis.document = { hidden: true, addEventListener() {}, removeEventListener() {} };

const { ChatClient, reporting } = await import("./chat-client.mjs");
const client = new ChatClient(options);
const cancel = client.chat(options.message, reporting(report), {
  body: options.body,
  headers: options.headers,
  onOpen: (response) =>
    report({ is: "open", status: response.status, headers: Object.fromEntries(response.headers) }),
});
for await (const command of commands()) if (command.do === "cancel") cancel();
process.exit();
