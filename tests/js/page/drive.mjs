// Drives the page in one Chromium: takes a line {"scenario": "file.name", "url", "options"} after
// another, each in contexts of its own.
//
// Prints JSON lines: {"checkpoint": name} and then waits for a line on stdin, so that the test
// decides what the model's server does next; at the end {"result": …} or {"failed": …}. Any error or
// blocked content in the page is a complaint, which the tests want none of.

import { createInterface } from "node:readline";
import { launch } from "../chromium.mjs";
import { Visit } from "./visit.mjs";

const input = createInterface({ input: process.stdin });
// Nobody wants to know any more, whatever is being done.
input.on("close", () => process.exit());
const lines = input[Symbol.asyncIterator]();
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

// A name of another site that leads here, as one would after DNS rebinding.
const browser = await launch(["--host-resolver-rules=MAP rebound.example 127.0.0.1"]);

async function checkpoint(name) {
  say({ checkpoint: name });
  await lines.next();
}

async function run({ scenario, url, options }) {
  const [file, name] = scenario.split(".");
  const complaints = [];
  const visit = (settings) => Visit.begin(browser, url, complaints, settings);
  const scenarios = await import(`./${file}.mjs`);
  const result = await scenarios[name]({ visit, checkpoint, options, url });
  return { ...result, complaints };
}

for await (const line of lines) {
  const said = await run(JSON.parse(line)).then(
    (result) => ({ result }),
    (error) => ({ failed: String(error.stack) }),
  );
  await Promise.all(browser.contexts().map((context) => context.close()));
  say(said);
}
