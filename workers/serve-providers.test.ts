import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import { createFakeProvider } from '../providers/fake/fake-provider.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { reachedProviders } from './reached-providers.ts'
import { serveProviders } from './serve-providers.ts'

test('the reach queue of a provider is served before its rollouts are asked for; one without an Engine is not', async () => {
  const fake = createFakeProvider({ stateDirectory: await temporaryFolder('serve') })
  const served: string[] = []
  const said: string[] = []
  const stop = new AbortController()
  await serveProviders({
    names: ['fake', 'docker'],
    reached: [{ name: 'fake', options: { faults: 'of a job' } }],
    providers: {
      provider: async (name) => {
        if (name === 'fake') return fake
        throw new RollcallError('provider-unavailable', 'no Engine answers')
      },
      close: async () => {},
    },
    serve: async (queue) => void served.push(queue),
    reach: async ({ name, options }) => void served.push(`reach ${name} ${JSON.stringify(options)}`),
    log: (line) => void said.push(line),
    stop: stop.signal,
  })
  stop.abort()
  expect(served).toEqual(['reach fake {"faults":"of a job"}', 'reach fake {}', 'rollcall.fake'])
  expect(said).toEqual(['provider docker is not served: no Engine answers'])
})

test('who has placed rollouts is known to the next worker of the same state directory, each once', async () => {
  const stateDirectory = await temporaryFolder('reach')
  const reached = reachedProviders(stateDirectory)
  expect(await reached.known()).toEqual([])
  const elsewhere = { name: 'docker', options: { socket: '/elsewhere' } }
  await reached.keep({ name: 'docker', options: {} })
  await appendFile(join(stateDirectory, 'workers/reached-providers.jsonl'), '{"name":"local","options":{}')
  await reached.keep(elsewhere)
  await reached.keep(elsewhere)
  expect(await reachedProviders(stateDirectory).known()).toEqual([{ name: 'docker', options: {} }, elsewhere])
})
