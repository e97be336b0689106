// The built TypeScript client under a test's command: node reader.mjs JSON
//
// The options are the client's. Commands are JSON lines: {"ask": text, "count": n} asks n questions
// one after another ("together": all at once) and reports {"is": "answer", "stream", "status",
// "code", "error", "text", "positions", "transports", "media"} of each. {"ask": text, "interrupt":
// {"message", "shown": n, "after": m}} interrupts when m tokens have come, of which n were shown;
// {"attach": stream, "interrupt": {"message"}} interrupts an answer that is known by its name. {"stop": stream} and {"document": stream} report {"is": "document", …}; {"later": ms} moves the
// clock on.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { EMPTY, failed, Fairlead, FairleadError, fold } from "../../clients/typescript/dist/index.js";

const { WebSocket } = createRequire(new URL("../../clients/typescript/package.json", import.meta.url))("ws");
const fairlead = new Fairlead({ WebSocket, ...JSON.parse(process.argv[2]) });
const report = (value) => process.stdout.write(JSON.stringify(value) + "\n");

async function read(make, onToken) {
  const transports = [];
  const positions = [];
  const media = [];
  let state = EMPTY;
  const onConnection = (told) => told.state === "connecting" && transports.push(told.transport);
  try {
    const answer = make(onConnection);
    for await (const event of answer) {
      if (!positions.length) report({ is: "begun", stream: event.stream });
      positions.push(event.position);
      if (event.type === "media") media.push(Buffer.from(event.data.data).toString("hex"));
      state = fold(state, event);
      if (event.type === "token") onToken?.(answer, event);
    }
  } catch (error) {
    if (!(error instanceof FairleadError)) throw error;
    state = failed(state, error);
  }
  const { stream, status, text, error } = state;
  const why = { code: error?.code, error: error?.message };
  report({ is: "answer", stream, status, text, ...why, positions, transports, media });
}

async function ask({ ask: message, count = 1, together = false, interrupt }) {
  const readings = [];
  for (let n = 1; n <= count; n += 1) {
    const question = count > 1 ? `${message} ${n}` : message;
    let tokens = 0;
    let shown;
    const reading = read(
      (onConnection) => fairlead.ask(question, { onConnection }),
      interrupt &&
        ((answer, { position }) => {
          report({ is: "token" });
          tokens += 1;
          if (tokens === interrupt.shown) shown = position;
          if (tokens === interrupt.after) readings.push(read(interruption(answer, interrupt, shown)));
        }),
    );
    if (together) readings.push(reading);
    else await reading;
  }
  await Promise.all(readings);
}

const interruption = (answer, { message }, shown) => (onConnection) =>
  answer.interrupt(message, { shown, onConnection });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.ask) void ask(command);
  else if (command.attach) void read(interruption(fairlead.attach(command.attach), command.interrupt));
  else if (command.stop) report({ is: "document", ...(await fairlead.stop(command.stop)) });
  else if (command.later) {
    const now = Date.now;
    Date.now = () => now() + command.later;
  } else report({ is: "document", ...(await fairlead.answer(command.document)) });
}
process.exit();
