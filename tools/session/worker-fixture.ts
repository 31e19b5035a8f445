import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'
import type { Call } from '../../agents/agent.ts'
import { openRunner } from '../../runner/open-runner.ts'
import { attachArgv } from '../../runner/scripts.ts'
import { executeBatch } from '../execute-batch.ts'

/** For tests: a worker of its own that makes one batch in a test's sandbox and prints the results, or is killed first. */
export interface FixtureOrder {
  readonly journalDir: string
  readonly outputDir: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly scope: string
  readonly batch: number
  readonly calls: readonly Call[]
}

const order = JSON.parse(process.argv[2] ?? '') as FixtureOrder
const { journalDir, outputDir, workdir, env, scope, batch, calls } = order
const runner = openRunner({
  connect: async () => {
    const [command = '', ...argv] = attachArgv({ journalDir, outputDir, workdir })
    const child = spawn(command, argv, { env, cwd: workdir, stdio: ['pipe', 'pipe', 'ignore'] })
    return Duplex.from({ readable: child.stdout, writable: child.stdin })
  },
  isAlive: async () => ({ alive: true }),
})
const context = {
  runner,
  scope,
  phase: 1,
  batch,
  defaultTimeoutMs: 20_000,
  workdir,
  signal: new AbortController().signal,
}
const results = await executeBatch({ calls, mode: 'sequence', stopOnError: false }, context)
runner.close()
process.stdout.write(JSON.stringify(results))
