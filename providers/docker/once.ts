import { mkdir } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { lock } from 'proper-lockfile'

type Progress = (line: string) => void

interface Flight<T> {
  readonly result: Promise<T>
  readonly listeners: Set<Progress>
}

/**
 * Runs work once per key, however many ask at the same time: in this process by sharing the promise, among the
 * processes of this machine by a lock in `lockDirectory`. Every asker hears the progress. An asker whose signal is
 * aborted stops waiting; the work goes on for the others, and for the next attempt to find it done.
 */
export class OnceTable<T> {
  readonly #flights = new Map<string, Flight<T>>()
  readonly #lockDirectory: string

  constructor(lockDirectory: string) {
    this.#lockDirectory = lockDirectory
  }

  /** @param key Used as part of a file name: `[a-z0-9-]`. */
  async run(
    key: string,
    work: (report: Progress) => Promise<T>,
    asker: { readonly onProgress?: Progress | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<T> {
    const flight = this.#flights.get(key) ?? this.#depart(key, work)
    if (asker.onProgress) flight.listeners.add(asker.onProgress)
    try {
      return await untilAborted(flight.result, asker.signal)
    } finally {
      if (asker.onProgress) flight.listeners.delete(asker.onProgress)
    }
  }

  #depart(key: string, work: (report: Progress) => Promise<T>): Flight<T> {
    const listeners = new Set<Progress>()
    const report = (line: string) => listeners.forEach((listener) => listener(line))
    const result = this.#locked(key, () => work(report)).finally(() => this.#flights.delete(key))
    // Every asker may have left when it fails.
    result.catch(() => {})
    const flight = { result, listeners }
    this.#flights.set(key, flight)
    return flight
  }

  async #locked(key: string, work: () => Promise<T>): Promise<T> {
    await mkdir(this.#lockDirectory, { recursive: true })
    const release = await acquireLock(`${this.#lockDirectory}/${key}`)
    try {
      return await work()
    } finally {
      // A lock that was taken over because this process stood still is no longer ours to release.
      await release().catch(() => {})
    }
  }
}

/** Resolves like `promise`, or rejects with the signal's reason as soon as it is aborted. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

const lockStaleMs = 20_000
const lockPollMs = 200

async function acquireLock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      // Two holders build the same thing twice and end with the same tag: no harm, so nobody is stopped.
      return await lock(path, { realpath: false, stale: lockStaleMs, update: 4_000, onCompromised: () => {} })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ELOCKED')) throw error
      await wait(lockPollMs)
    }
  }
}
