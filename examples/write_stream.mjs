// Writes an answer over HTTP, piece by piece: node write_stream.mjs [http://127.0.0.1:8000] [KEY].
// Killed and started again with the same key, it goes on where it was.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const [server = "http://127.0.0.1:8000", key = randomUUID()] = process.argv.slice(2);
const PACE = Number(process.env.PACE ?? 30) * 1000; // how long a step takes

class Refused extends Error {}

// Whatever breaks on the way, the request is repeated as it was: lines that the server has taken
// already it passes over.
async function post(path, type, body, headers = {}) {
  for (let wait = 100; ; wait = Math.min(2 * wait, 5000)) {
    try {
      const request = { method: "POST", body, headers: { "content-type": type, ...headers } };
      const response = await fetch(server + path, request);
      const answer = await response.json();
      if (response.ok) return answer;
      if (!answer.retryable) throw new Refused(answer.error);
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    await sleep(wait);
  }
}

const steps = ["collect", "compare", "draw", "write"];
const lines = steps.flatMap((step, n) => [
  { type: "progress", data: { message: step, fraction: n / steps.length } },
  { type: "token", data: { token: `${step} is done – ` } },
]);
const picture = Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>").toString("base64");
lines.push({ type: "media", data: { content_type: "image/svg+xml", data: picture } });
lines.push({ type: "progress", data: { message: "finished", fraction: 1 } });
lines.push({ type: "done" });

const asked = JSON.stringify({ message: "The report of today", name: "reporter", lease: 15 });
const begun = await post("/streams", "application/json", asked, { "idempotency-key": key });
console.log(begun.stream);

let at = begun.next;
const write = (body) =>
  post(`/streams/${begun.stream}/events?writer=${begun.writer}&at=${at}`, "application/x-ndjson", body);
// A step may take longer than the lease.
const alive = setInterval(() => write("").catch(() => clearInterval(alive)), 5000);
for (; at < lines.length; at++) {
  if (lines[at].type === "token") await sleep(PACE); // the work of the step
  await write(JSON.stringify(lines[at]));
}
clearInterval(alive);
