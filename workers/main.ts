import module from 'node:module'
import { join } from 'node:path'
import { z } from 'zod'

/** Entry of a job's own worker, started detached by the client (client/job-worker.ts) with its settings as one argument. */
const settings = z
  .object({ job: z.string(), stateDirectory: z.string(), cacheDirectory: z.string(), storeUrl: z.string() })
  .parse(JSON.parse(process.argv[2] ?? 'null'))

// Every job waits for its worker to start. What Node makes of the sources is kept from one start to the next.
module.enableCompileCache(join(settings.cacheDirectory, 'compiled'))
const { runWorker } = await import('./run-worker.ts')

const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

const log = (line: string): void => console.error(`${new Date().toISOString()} ${line}`)

try {
  await runWorker({ ...settings, env: process.env, log, stop: stop.signal })
} catch (error) {
  log(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.exitCode = 1
}
