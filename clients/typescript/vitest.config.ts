import { defineConfig } from "vitest/config";

// A safety net only: no test measures time, none may hang for ever.
export default defineConfig({ test: { testTimeout: 120_000 } });
