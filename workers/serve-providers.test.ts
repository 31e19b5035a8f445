import { expect, test } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import { createFakeProvider } from '../providers/fake/fake-provider.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { reachQueues } from './reach-queues.ts'
import { serveProviders } from './serve-providers.ts'

test('the reach queue of a provider is served before its rollouts are asked for; one without an Engine is not', async () => {
  const fake = createFakeProvider({ stateDirectory: await temporaryFolder('serve') })
  const served: string[] = []
  const said: string[] = []
  const stop = new AbortController()
  await serveProviders({
    names: ['fake', 'docker'],
    providers: {
      provider: async (name) => {
        if (name === 'fake') return fake
        throw new RollcallError('provider-unavailable', 'no Engine answers')
      },
      close: async () => {},
    },
    serve: async (queue) => void served.push(queue),
    reach: async (queue) => void served.push(`reach ${queue}`),
    log: (line) => void said.push(line),
    stop: stop.signal,
  })
  stop.abort()
  expect(served).toEqual([`reach rollcall.fake.${await fake.place()}`, 'rollcall.fake'])
  expect(said).toEqual(['provider docker is not served: no Engine answers'])
})

test('reach queues are known to the next worker of the same state directory, each once', async () => {
  const stateDirectory = await temporaryFolder('reach')
  const queues = reachQueues(stateDirectory)
  expect(await queues.known()).toEqual([])
  await queues.keep('rollcall.docker.A:B')
  await queues.keep('rollcall.local.x')
  await queues.keep('rollcall.docker.A:B')
  expect(await reachQueues(stateDirectory).known()).toEqual(['rollcall.docker.A:B', 'rollcall.local.x'])
})
