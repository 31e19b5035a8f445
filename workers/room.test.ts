import { expect, onTestFinished, test } from 'vitest'
import { createFakeProvider } from '../providers/fake/fake-provider.ts'
import { makeRequest } from '../providers/host-sandbox/sandbox-fixture.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { Room } from './room.ts'

async function place(limit: number) {
  const provider = createFakeProvider({ stateDirectory: await temporaryFolder('room') })
  let nowMs = 1_000_000
  const { ownership } = makeRequest()
  const room = () => new Room({ limit, namespace: ownership.namespace, now: () => nowMs })
  const make = async () => {
    const request = makeRequest()
    onTestFinished(() => provider.destroy(request.name))
    await provider.createOrAdopt(request)
    return request.name
  }
  return { provider, room, make, pass: (ms: number) => void (nowMs += ms) }
}

const busy = expect.objectContaining({ code: 'provider-busy', retryAfterMs: 1_000 }) as Error

test('a place that holds as many sandboxes as it may gives no room, whoever has made them', async () => {
  const { provider, room, make } = await place(2)
  const [first] = [await make(), await make()]
  await expect(room().give(provider, 'a-third')).rejects.toEqual(busy)
  await provider.destroy(first)
  await room().give(provider, 'a-third')
})

test('what was given room counts until it exists or is heard of no more; asked twice it counts once', async () => {
  const { provider, room, pass } = await place(1)
  const one = room()
  await one.give(provider, 'a')
  await one.give(provider, 'a')
  await expect(one.give(provider, 'b')).rejects.toEqual(busy)
  one.taken('a')
  await one.give(provider, 'b')
  await expect(one.give(provider, 'c')).rejects.toEqual(busy)
  pass(31_000)
  await one.give(provider, 'c')
})

test('of many that ask at the same time only as many are given room as there is', async () => {
  const { provider, room } = await place(3)
  const one = room()
  const asked = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => one.give(provider, `sandbox-${index}`)),
  )
  expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
})

test('what was given room at one place takes none at another', async () => {
  const { provider, room } = await place(1)
  const elsewhere = (await place(1)).provider
  const one = room()
  await one.give(provider, 'a')
  await one.give(elsewhere, 'b')
  await expect(one.give(provider, 'c')).rejects.toEqual(busy)
})
