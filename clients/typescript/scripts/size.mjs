// The size of the core as a page loads it: bundled, minified, gzipped. Prints bytes, without the
// parser of event streams that it depends on and with it.
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const PARSER = "eventsource-parser";

/** What is only fetched when it is used does not count. */
const later = {
  name: "later",
  setup(build) {
    build.onResolve({ filter: /./ }, ({ kind }) =>
      kind === "dynamic-import" ? { external: true } : undefined,
    );
  },
};

export async function size(entry = "src/index.ts", without = []) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["react", "react/jsx-runtime", ...without],
    plugins: [later],
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`core ${await size("src/index.ts", [PARSER])}, with its parser ${await size()}`);
  console.log(`with react components ${await size("src/react/index.ts")}`);
}
