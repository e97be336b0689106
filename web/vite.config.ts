import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  // The server may serve the page under a path of its operator's choice.
  base: "./",
  // The client is a package of its own beside this one; there is to be one React all the same.
  resolve: { dedupe: ["react", "react-dom"] },
  build: {
    target: "es2022",
    // The page's policy allows no inline script, and data: only for pictures.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { testTimeout: 60_000 },
});
