// Drives the page in Chromium: node page/drive.mjs SCENARIO URL [JSON]
//
// Prints JSON lines: {"checkpoint": name} and then waits for a line on stdin, so that the test
// decides what the model's server does next; at the end {"result": …}. Any error or blocked content
// in the page is a complaint, which the tests want none of.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { launch } from "../chromium.mjs";
import { Visit } from "./visit.mjs";

const [scenario, url, options = "{}"] = process.argv.slice(2);
const [file, name] = scenario.split(".");
const input = createInterface({ input: process.stdin });
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function checkpoint(name) {
  const answered = once(input, "line");
  say({ checkpoint: name });
  await answered;
}

// A name of another site that leads here, as one would after DNS rebinding.
const browser = await launch(["--host-resolver-rules=MAP rebound.example 127.0.0.1"]);
const complaints = [];
const visit = (settings) => Visit.begin(browser, url, complaints, settings);
const scenarios = await import(`./${file}.mjs`);
const result = await scenarios[name]({ visit, checkpoint, options: JSON.parse(options), url });
say({ result: { ...result, complaints } });
await browser.close();
process.exit();
