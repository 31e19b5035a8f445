import { defineConfig } from 'vitest/config'

const exclude = ['**/node_modules/**', 'dist/**']

/** One project per suffix: what a test needs is in its file name (CONTRIBUTING.md). */
const project = (name: string, include: string[], timeoutMs: number, notThese: string[] = []) => ({
  test: { name, include, exclude: [...exclude, ...notThese], testTimeout: timeoutMs, hookTimeout: timeoutMs },
})

export default defineConfig({
  test: {
    projects: [
      project('unit', ['**/*.test.ts'], 60_000, ['**/*.*.test.ts']),
      project('temporal', ['**/*.temporal.test.ts'], 120_000),
      project('provider', ['**/*.provider.test.ts'], 180_000),
      project('e2e', ['**/*.e2e.test.ts'], 300_000),
      project('chaos', ['**/*.chaos.test.ts'], 300_000),
      project('postgres', ['**/*.postgres.test.ts'], 600_000),
    ],
    maxWorkers: 2,
  },
})
