import module from 'node:module'
import { join } from 'node:path'
import { detachedWorkerConfig } from './config.ts'
import { writeLogLine } from './log-line.ts'

/** Entry of a worker that a client has started, detached (client/spawn-worker.ts): of one job, or a shared one. */
const config = detachedWorkerConfig(process.argv[2])

// Every job waits for its worker to start. What Node makes of the sources is kept from one start to the next.
module.enableCompileCache(join(config.cacheDirectory, 'compiled'))
const { runWorker } = await import('./run-worker.ts')

const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

try {
  await runWorker({ ...config, log: writeLogLine, stop: stop.signal, endsWithServer: true })
} catch (error) {
  writeLogLine(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.exitCode = 1
}
