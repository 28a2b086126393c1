import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { INLINE: "false" },
  test: { environment: "jsdom", include: ["tests/**/*.test.ts"], restoreMocks: true },
});
