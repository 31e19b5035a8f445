import { defineConfig } from 'vitest/config'

const exclude = ['**/node_modules/**', 'dist/**']

/** Two cores: files that compute run two at a time. Those of whole paths mostly wait, for heartbeats and for the dead. */
const computing = { maxWorkers: 2, sequence: { groupOrder: 0 } }
const waiting = { maxWorkers: 3, sequence: { groupOrder: 1 } }

/** One project per suffix: what a test needs is in its file name (CONTRIBUTING.md). */
const project = (
  name: string,
  include: string[],
  timeoutMs: number,
  more: typeof computing & { exclude?: string[] } = computing,
) => ({
  test: {
    name,
    include,
    ...more,
    exclude: [...exclude, ...(more.exclude ?? [])],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
  },
})

export default defineConfig({
  test: {
    projects: [
      project('unit', ['**/*.test.ts'], 60_000, { ...computing, exclude: ['**/*.*.test.ts'] }),
      project('temporal', ['**/*.temporal.test.ts'], 120_000),
      project('provider', ['**/*.provider.test.ts'], 180_000),
      project('e2e', ['**/*.e2e.test.ts'], 300_000, waiting),
      project('chaos', ['**/*.chaos.test.ts'], 300_000, waiting),
      project('postgres', ['**/*.postgres.test.ts'], 600_000, waiting),
    ],
  },
})
