import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openTestSandbox, processesNaming, uniqueScope } from './test-sandbox.ts'

/** By hand 20,000 (`ROLLCALL_TEST_COMMANDS`): whatever grows with commands shows in fewer, and a busy machine takes minutes. */
const commands = Number(process.env['ROLLCALL_TEST_COMMANDS'] ?? 2_000)
const batchSize = 20
/** Batches after which everything has as many files as it will ever have. */
const warmUp = 50

test(
  'thousands of commands in one sandbox leave neither files nor processes, and nothing grows',
  { timeout: 600_000 },
  async () => {
    await using sandbox = await openTestSandbox({ shell: 'dash' })
    const scope = uniqueScope()
    const runner = sandbox.open()
    /** Files of the journal and of output, and pages of the main process. */
    const size = () => {
      const files = [sandbox.journalDir, sandbox.outputDir].flatMap((path) =>
        readdirSync(path, { recursive: true, encoding: 'utf8' }),
      )
      const pages = readFileSync(`/proc/${sandbox.supervisor.pid}/statm`, 'utf8').split(' ')[0]
      return { files: files.length, pages: Number(pages) }
    }
    let grownFrom = { files: 0, pages: 0 }
    for (let batch = 0; batch < commands / batchSize; batch += 1) {
      runner.acknowledge({ scope, phase: 1, batch })
      const run = async (call: number): Promise<string> => {
        const id = { scope, phase: 1, batch, call, part: 0 }
        const { outcome, stdout } = await runner.exec({ id, script: `echo ${batch}.${call}`, timeoutMs: 600_000 })
        return `${outcome.type} ${stdout.head.toString()}`
      }
      const answers = await Promise.all(Array.from({ length: batchSize }, (_, call) => run(call)))
      expect(answers).toEqual(answers.map((_, call) => `exited ${batch}.${call}\n`))
      if (batch === warmUp) grownFrom = size()
    }
    const { files, pages } = size()
    expect(pages).toBe(grownFrom.pages)
    // What the last batch but one has left may not be forgotten yet.
    expect(files).toBeLessThan(grownFrom.files + 4 * batchSize)
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/`)).toEqual([])
  },
)
