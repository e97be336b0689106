// The backend in Node.js and Express that articles show: an unnamed event a second, then the end.
// Arguments: the port (0: any free one), the milliseconds between events, how many.
// What it lacks: a break in the middle begins it anew; so does EventSource after the end, for ever.
import express from "express";

const [port = "0", pause = "1000", count = "10"] = process.argv.slice(2);
const app = express();

app.get("/events", (request, response) => {
  response.setHeader("Content-Type", "text/event-stream");
  response.setHeader("Cache-Control", "no-cache");
  response.setHeader("Connection", "keep-alive");
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    response.write(`data: ${JSON.stringify({ message: `消息 ${sent}`, sent })}\n\n`);
    if (sent === Number(count)) {
      clearInterval(timer);
      response.end();
    }
  }, Number(pause));
  request.on("close", () => clearInterval(timer));
});

const server = app.listen(Number(port), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
