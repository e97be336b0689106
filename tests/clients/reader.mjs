// The built TypeScript client under a test's command: node reader.mjs JSON
//
// The options are the client's. Commands are JSON lines: {"ask": text, "count": n} asks n questions
// one after another and reports {"is": "answer", "stream", "status", "code", "error", "text", "positions",
// "transports"} of each; {"stop": stream} and {"document": stream} report {"is": "document", …}.
import { createInterface } from "node:readline";
import { EMPTY, failed, Fairlead, FairleadError, fold } from "../../clients/typescript/dist/index.js";

const fairlead = new Fairlead(JSON.parse(process.argv[2]));
const report = (value) => process.stdout.write(JSON.stringify(value) + "\n");

async function read(message) {
  const transports = [];
  const positions = [];
  let state = EMPTY;
  const onConnection = (told) => told.state === "connecting" && transports.push(told.transport);
  try {
    for await (const event of fairlead.ask(message, { onConnection })) {
      if (!positions.length) report({ is: "begun", stream: event.stream });
      positions.push(event.position);
      state = fold(state, event);
    }
  } catch (error) {
    if (!(error instanceof FairleadError)) throw error;
    state = failed(state, error);
  }
  const { stream, status, text, error } = state;
  report({ is: "answer", stream, status, text, code: error?.code, error: error?.message, positions, transports });
}

async function ask({ ask: message, count = 1 }) {
  for (let n = 1; n <= count; n += 1) await read(`${message} ${n}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.ask) void ask(command);
  else if (command.stop) report({ is: "document", ...(await fairlead.stop(command.stop)) });
  else report({ is: "document", ...(await fairlead.answer(command.document)) });
}
process.exit();
