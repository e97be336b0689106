// What the scripts here have in common: options from the command line, reports as JSON lines on the
// output, commands as JSON lines from the input.
import { createInterface } from "node:readline";

export const options = JSON.parse(process.argv[2] ?? "{}");

export const report = (value) => process.stdout.write(JSON.stringify(value) + "\n");

export async function* commands() {
  for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line);
}
