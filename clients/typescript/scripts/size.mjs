// The size of the core as a page loads it: bundled, minified, gzipped. Prints bytes.
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export async function size(entry = "src/index.ts") {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["react", "react/jsx-runtime"],
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`core ${await size()}`);
  console.log(`with react components ${await size("src/react/index.ts")}`);
}
