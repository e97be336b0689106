// A model in Node.js, with Fairlead in front of it: `node node_model.mjs`, then
// fairlead serve --upstream http://127.0.0.1:9000/v1 --model mine
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const server = createServer(async (request, response) => {
  const { messages } = JSON.parse(Buffer.concat(await request.toArray()));
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const word of `You asked: ${messages.at(-1).content}`.split(" ")) {
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: word + " " } }] })}\n\n`);
    await sleep(50); // your model or agent goes here
  }
  response.end("data: [DONE]\n\n");
});
const { PORT = 9000 } = process.env;
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
