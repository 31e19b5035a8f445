import module from 'node:module'
import { join } from 'node:path'
import { jobWorkerConfig } from './config.ts'

/** Entry of a job's own worker, started detached by the client (client/job-worker.ts). */
const config = jobWorkerConfig(process.argv[2])

// Every job waits for its worker to start. What Node makes of the sources is kept from one start to the next.
module.enableCompileCache(join(config.cacheDirectory, 'compiled'))
const { runWorker } = await import('./run-worker.ts')

const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

// A line that finds the disk full is lost; the commands of this worker are not.
process.stderr.on('error', () => {})
const log = (line: string): void => console.error(`${new Date().toISOString()} ${line}`)

try {
  await runWorker({ ...config, log, stop: stop.signal })
} catch (error) {
  log(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.exitCode = 1
}
