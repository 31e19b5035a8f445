import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { eventually, succeeded } from '../conformance/expectations.ts'
import type { OpenSandbox } from '../conformance/conformance-case.ts'
import type { Provider } from '../contract/provider.ts'
import { createDockerProvider } from './docker-provider.ts'
import { killByContainer } from './forced-end.ts'
import { openDockerFixture, type DockerFixture } from './testing/docker-fixture.ts'

let docker: DockerFixture
let provider: Provider

beforeAll(async () => {
  docker = await openDockerFixture()
  provider = createDockerProvider({
    connection: docker.connection,
    stateDirectory: docker.directory,
    answerTimeoutMs: 1_000,
  })
})

afterEach(() => docker.cleanUp('case'))

afterAll(() => docker.dispose())

const stopEverything =
  'while :; do for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n = $$ ] || kill -STOP $n; done; done 2>/dev/null'

/** A sandbox for which the Engine answers nothing any more, since a root inside has stopped the beginning of an exec. */
async function openHeldSandbox(): Promise<OpenSandbox> {
  const opened = await docker.open()
  const { sandbox, run } = opened
  // It may stop the runner before its own start is reported.
  run(`sh -c '${stopEverything}'`).catch(() => {})
  const container = docker.docker.getContainer(sandbox.id)
  await eventually('the Engine is held up', async () => {
    provider.connect(sandbox.name).then(
      (stream) => stream.destroy(),
      () => {},
    )
    const abortSignal = AbortSignal.timeout(2_000)
    return await container.inspect({ abortSignal }).then(
      () => false,
      () => abortSignal.aborted,
    )
  })
  return opened
}

test('a sandbox whose root has stopped everything, the Engine’s exec too, is found, and gone when it is destroyed', async () => {
  const { sandbox, request } = await openHeldSandbox()
  await expect(provider.connect(sandbox.name)).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(await provider.find(sandbox.name)).toMatchObject({ state: 'running', ownership: request.ownership })
  await provider.destroy(sandbox.name)
  expect(await provider.find(sandbox.name)).toBeUndefined()
  expect(await provider.list({ owner: request.ownership.owner })).toEqual([])
})

test('where the worker cannot kill it, a container of the same image does, and leaves nothing', async () => {
  const { sandbox, request } = await openHeldSandbox()
  const bystander = await docker.open()
  const listed = (await docker.docker.listContainers()).find(({ Id }) => Id === sandbox.id)
  if (listed === undefined) throw new Error('The held container is not listed')
  await killByContainer(docker.docker, {
    id: sandbox.id,
    name: sandbox.name,
    imageId: listed.ImageID,
    labels: listed.Labels,
  })
  await eventually('it is dead', async () => (await provider.find(sandbox.name))?.state === 'dead')
  expect(await provider.list({ owner: request.ownership.owner })).toMatchObject([{ name: sandbox.name }])
  expect(await provider.find(bystander.sandbox.name)).toMatchObject({ state: 'running' })
  await provider.destroy(sandbox.name)
  expect(await provider.list({ owner: request.ownership.owner })).toEqual([])
})

test('a destroyed sandbox that only stopped its own main process is gone at once', async () => {
  const { sandbox, run } = await docker.open()
  succeeded(await run('read -r pid _ </.rollcall/journal/supervisor; kill -STOP $pid'))
  await provider.destroy(sandbox.name)
  expect(await provider.find(sandbox.name)).toBeUndefined()
})
