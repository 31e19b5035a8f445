import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

test('a worker that cannot reach its server ends, and nothing of it keeps the process there', async () => {
  const folder = await temporaryFolder('worker')
  const config = { job: 'j', stateDirectory: folder, cacheDirectory: folder, storeUrl: `file://${folder}/store` }
  const env = { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1' }
  const child = spawn(process.execPath, [main, JSON.stringify(config)], { env, stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  expect(await once(child, 'exit')).toEqual([1, null])
}, 30_000)
