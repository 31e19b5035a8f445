import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { AcquireAnswer, AcquireRequest } from '../../protocol/pool.ts'
import { SlotQueue } from './slot-queue.ts'

/** Nobody is served. */
function fullPool() {
  const asked: string[][] = []
  const update = async (_definition: unknown, [request]: [AcquireRequest]): Promise<AcquireAnswer[]> => {
    const { slots, waitMs = 0 } = request
    asked.push(slots.map(({ holder }) => holder))
    await delay(waitMs)
    return slots.map(({ holder }) => ({ holder, state: 'queued', position: 1 }))
  }
  return { asked, messages: { update } as unknown as ConstructorParameters<typeof SlotQueue>[0]['messages'] }
}

test('more than one update can hold ask again all the same, before the pool forgets them', async () => {
  const { asked, messages } = fullPool()
  const queue = new SlotQueue({ messages, leave: () => {} })
  const { signal, abort } = stopping()
  const holders = Array.from({ length: 401 }, (_, index) => `h${index}`)
  const waiting = holders.map((holder) =>
    queue.acquire({ request: { holder }, timeoutMs: 60_000, signal, keepsPlace: false }),
  )
  const settled = Promise.allSettled(waiting)
  const times = (holder: string): number => asked.filter((batch) => batch.includes(holder)).length
  await vi.waitFor(() => expect(Math.min(...holders.map(times))).toBeGreaterThan(1), { timeout: 8_000 })
  expect(Math.max(...asked.map(({ length }) => length))).toBe(200)
  abort()
  await settled
})

function stopping(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}
