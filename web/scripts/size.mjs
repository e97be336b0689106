// The first load's JavaScript, gzipped: what index.html asks for at once. Prints bytes.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const files = [...html.matchAll(/(?:src|href)="(\.\/assets\/[^"]+\.js)"/g)].map(([, file]) => file);
let total = 0;
for (const file of new Set(files)) {
  const bytes = gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
  console.log(`${file} ${bytes}`);
  total += bytes;
}
console.log(`first load ${total}`);
