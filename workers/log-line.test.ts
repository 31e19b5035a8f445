import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/** Writes a line of ours and one of the SDK's, and answers with exit code 0 if it still lives then. */
const program = `
  const [{ writeLogLine }, { sdkLogger }] = await Promise.all([import(process.argv[1]), import(process.argv[2])])
  writeLogLine('ours')
  sdkLogger(writeLogLine).warn('theirs', { workflowId: 'w' })
`
const files = ['log-line.ts', 'sdk-logger.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)))

async function exitCodeWithLog(path: string): Promise<unknown> {
  const log = await open(path, 'w')
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, ...files], {
    stdio: ['ignore', log.fd, log.fd],
  })
  await log.close()
  const [code] = await once(child, 'exit')
  return code
}

test('a worker whose log is on a full disk lives on', async () => {
  expect(await exitCodeWithLog('/dev/full')).toBe(0)
  expect(await exitCodeWithLog('/dev/null')).toBe(0)
})
