import { readFileSync } from 'node:fs'
import module from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import { z } from 'zod'
import { Killer, killingProvider, killingStore, killPointSchema } from './kill-points.ts'

/**
 * Entry of a worker that kills itself at the points of a file: `killing-worker.ts {"killPoints": PATH, "stateDirectory",
 * "cacheDirectory", "storeUrl"}`. Serves the shared queue, and those of "providers", by default local and docker.
 */
const {
  killPoints,
  providers: providerNames,
  ...config
} = z
  .object({
    killPoints: z.string(),
    stateDirectory: z.string(),
    cacheDirectory: z.string(),
    storeUrl: z.string(),
    providers: z.array(z.string()).default(['local', 'docker']),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))
const killer = new Killer(z.array(killPointSchema).parse(JSON.parse(readFileSync(killPoints, 'utf8'))))

// As a job's own worker does: this one is started again and again.
module.enableCompileCache(join(config.cacheDirectory, 'compiled'))
const [{ openStore }, { createProviders }, { runWorker }] = await Promise.all([
  import('../store/open-store.ts'),
  import('../workers/providers.ts'),
  import('../workers/run-worker.ts'),
])

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())

await runWorker({
  ...config,
  env: process.env,
  providerNames,
  stop: stop.signal,
  log: (line) => console.error(`${new Date().toISOString()} ${process.pid} ${line}`),
  openStore: (url) => killingStore(openStore(url), killer),
  createProviders: (settings) => {
    const providers = createProviders(settings)
    return {
      ...providers,
      provider: async (name, options) => killingProvider(await providers.provider(name, options), killer),
    }
  },
})
