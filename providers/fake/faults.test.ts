import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { makeRequest, runnerOf, withSandbox } from '../host-sandbox/sandbox-fixture.ts'
import type { CreateRequest, Provider } from '../contract/provider.ts'
import { createFakeProvider } from './fake-provider.ts'
import { faultScript, faultScriptFile, type Fault, type TestFaultScript } from './faults.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

const made: { provider: Provider; request: CreateRequest }[] = []

afterEach(async () => {
  for (const { provider, request } of made.splice(0)) await provider.destroy(request.name)
})

async function fakeWith(
  ...faults: Fault[]
): Promise<{ fake: Provider; script: TestFaultScript; request: CreateRequest }> {
  const script = faultScript(faults)
  const stateDirectory = await temporaryFolder('fake')
  const fake = createFakeProvider({ stateDirectory, script })
  const request = makeRequest()
  made.push({ provider: createFakeProvider({ stateDirectory }), request })
  return { fake, script, request }
}

test('a creation that fails before it begins leaves nothing', async () => {
  const { fake, request } = await fakeWith({ on: 'create', nth: 1, effect: 'throw-before' })
  await expect(fake.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(await fake.find(request.name)).toBeUndefined()
  await fake.createOrAdopt(request)
  expect(await fake.find(request.name)).toMatchObject({ state: 'running' })
})

test('a creation whose answer is lost has happened, and is adopted when asked for again', async () => {
  const { fake, request } = await fakeWith({ on: 'create', nth: 1, effect: 'throw-after' })
  await expect(fake.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(await fake.find(request.name)).toMatchObject({ state: 'running' })
  expect(await fake.createOrAdopt(request)).toMatchObject({ name: request.name })
})

test('a creation that is carried out late appears after its caller has given up, and can be removed', async () => {
  const { fake, script, request } = await fakeWith({ on: 'create', nth: 1, effect: 'late' })
  await expect(fake.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
  await fake.destroy(request.name)
  expect(await fake.find(request.name)).toBeUndefined()
  script.release()
  await expect.poll(() => fake.find(request.name)).toMatchObject({ state: 'running' })
  await fake.destroy(request.name)
  expect(await fake.find(request.name)).toBeUndefined()
})

test('a busy provider says when to come back', async () => {
  const { fake, request } = await fakeWith({ on: 'create', nth: 1, effect: 'busy', retryAfterMs: 1234 })
  await expect(fake.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-busy', retryAfterMs: 1234 })
})

test('the code of a failure can be chosen, and other calls are left alone', async () => {
  const { fake } = await fakeWith({ on: 'list', nth: 2, effect: 'throw-before', code: 'provider-auth' })
  expect(await fake.list({})).toEqual([])
  await expect(fake.list({})).rejects.toMatchObject({ code: 'provider-auth' })
  expect(await fake.list({})).toEqual([])
})

test('a sandbox that dies while it is made is found dead, and is not made again under that name', async () => {
  const { fake, request } = await fakeWith({ on: 'create', nth: 1, effect: 'die' })
  await fake.createOrAdopt(request)
  expect(await fake.find(request.name)).toMatchObject({ state: 'dead', reason: 'exited' })
  await expect(fake.createOrAdopt(request)).rejects.toMatchObject({ code: 'sandbox-lost' })
  await expect(fake.connect(request.name)).rejects.toMatchObject({ code: 'sandbox-lost' })
})

test('a call that hangs goes on when it is released', async () => {
  const { fake, script, request } = await fakeWith({ on: 'destroy', nth: 1, effect: 'hang' })
  await fake.createOrAdopt(request)
  let isDestroyed = false
  const destroyed = fake.destroy(request.name).then(() => (isDestroyed = true))
  expect(await fake.find(request.name)).toMatchObject({ state: 'running' })
  expect(isDestroyed).toBe(false)
  script.release()
  await destroyed
  expect(await fake.find(request.name)).toBeUndefined()
})

test.each(['cut', 'throw-before', 'throw-after'] as const)(
  'a command whose attachment is %s runs once',
  async (effect) => {
    const { fake, script, request } = await fakeWith({ on: 'exec', nth: 2, effect })
    await withSandbox(fake, request, async (shell) => {
      await shell('mkdir -p /tmp/count')
      expect(await shell('echo x >>/tmp/count/lines; cat /tmp/count/lines')).toBe('x\n')
      expect(script.counts.exec).toBeGreaterThanOrEqual(3)
    })
  },
)

test('a sandbox that dies under a command is lost to it', async () => {
  const { fake, request } = await fakeWith({ on: 'exec', nth: 2, effect: 'die' })
  await fake.createOrAdopt(request)
  const runner = runnerOf(fake, request.name)
  const id = { scope: 'a', phase: 0, batch: 0, call: 0, part: 0 }
  await runner.exec({ id, script: 'true', timeoutMs: 10_000 })
  const second = runner.exec({ id: { ...id, batch: 1 }, script: 'true', timeoutMs: 10_000 })
  await expect(second).rejects.toMatchObject({ code: 'sandbox-lost' })
  runner.close()
})

test('scripts in a file are shared: each call has one number, whoever makes it', async () => {
  const directory = await temporaryFolder('faults')
  const path = join(directory, 'faults.json')
  await writeFile(path, JSON.stringify([{ on: 'find', nth: 3, effect: 'throw-before' }]))
  const [one, other] = [faultScriptFile(path), faultScriptFile(path)]
  const faults = [await one.next('find'), await other.next('find'), await one.next('find'), await other.next('find')]
  expect(faults.map((fault) => fault?.effect)).toEqual([undefined, undefined, 'throw-before', undefined])
  expect((await readdir(`${path}.calls/find`)).toSorted()).toEqual(['1', '2', '3', '4'])
})

test('calls that hang by a file go on when its .released is there', async () => {
  const path = join(await temporaryFolder('faults'), 'faults.json')
  const released = faultScriptFile(path).released()
  await writeFile(`${path}.released`, '')
  await released
})

test('a mistake in a script file is named', async () => {
  const path = join(await temporaryFolder('faults'), 'faults.json')
  await writeFile(path, JSON.stringify([{ on: 'find', nth: 1, effect: 'explode' }]))
  await expect(faultScriptFile(path).next('find')).rejects.toThrow(/effect/)
})
