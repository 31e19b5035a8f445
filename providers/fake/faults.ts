import { readFile, writeFile, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { failureKinds, isFailureCode, type FailureCode } from '../../protocol/failure.ts'

/** Calls of a provider that can go wrong. `exec` counts requests for a command on any attachment. */
const faultyCalls = ['create', 'find', 'connect', 'destroy', 'list', 'exec'] as const
export type FaultyCall = (typeof faultyCalls)[number]

const faultSchema = z.object({
  on: z.enum(faultyCalls),
  /** Which call of that kind, from 1, counted over all processes that share the script. */
  nth: z.number().int().min(1),
  /**
   * `throw-before`: nothing happens, `code` is thrown. `throw-after`: it happens, its answer is lost and `code` thrown.
   * `late` (create): `code` is thrown at once, and the sandbox appears after `release()`. `busy`: nothing happens, `provider-busy` with `retryAfterMs`. `die`: the sandbox is killed first. `hang`: waits for
   * `release()`, then goes on. `cut`: the attachment breaks off when the request (or the connection) is there.
   * For `exec`: `throw-before` cuts before the request arrives, `throw-after` and `cut` when it has arrived.
   */
  effect: z.enum(['throw-before', 'throw-after', 'late', 'busy', 'die', 'hang', 'cut']),
  /** Default `provider-unavailable`. */
  code: z
    .custom<FailureCode>((value) => isFailureCode(value), `one of ${Object.keys(failureKinds).join(', ')}`)
    .optional(),
  retryAfterMs: z.number().int().min(0).optional(),
})

export type Fault = z.infer<typeof faultSchema>

/** Which calls go wrong, and how. One script may serve several providers. */
export interface FaultScript {
  /** Counts this call and answers the fault that is meant for it. */
  next(call: FaultyCall): Promise<Fault | undefined>
  /** Resolves when calls that hang may go on. */
  released(): Promise<void>
}

export interface TestFaultScript extends FaultScript {
  /** Lets all calls that hang go on, also later ones. */
  release(): void
  /** How often each kind of call has been made. */
  readonly counts: Readonly<Record<FaultyCall, number>>
}

/** A script for a test in the same process. */
export function faultScript(faults: readonly Fault[]): TestFaultScript {
  const counts: Record<FaultyCall, number> = { create: 0, find: 0, connect: 0, destroy: 0, list: 0, exec: 0 }
  const { promise, resolve } = Promise.withResolvers<void>()
  return {
    counts,
    release: resolve,
    released: () => promise,
    next: (call) => {
      counts[call] += 1
      return Promise.resolve(faults.find((fault) => fault.on === call && fault.nth === counts[call]))
    },
  }
}

/**
 * A script for tests with several worker processes: `path` is a JSON array of faults. Calls are counted by files in
 * `<path>.calls/`, made exclusively, so that each call has one number whoever makes it. Hanging calls go on when
 * `<path>.released` exists.
 */
export function faultScriptFile(path: string): FaultScript {
  const counted: Record<FaultyCall, number> = { create: 0, find: 0, connect: 0, destroy: 0, list: 0, exec: 0 }
  return {
    next: async (call) => {
      const nth = await claimNumber(join(`${path}.calls`, call), counted[call] + 1)
      counted[call] = nth
      const faults = z.array(faultSchema).parse(JSON.parse(await readFile(path, 'utf8')))
      return faults.find((fault) => fault.on === call && fault.nth === nth)
    },
    released: () => untilExists(`${path}.released`),
  }
}

async function claimNumber(directory: string, from: number): Promise<number> {
  await mkdir(directory, { recursive: true })
  for (let nth = from; ; nth += 1) {
    const isMine = await writeFile(join(directory, String(nth)), '', { flag: 'wx' }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
        throw error
      },
    )
    if (isMine) return nth
  }
}

async function untilExists(path: string): Promise<void> {
  while (
    !(await stat(path).then(
      () => true,
      () => false,
    ))
  )
    await delay(20)
}
