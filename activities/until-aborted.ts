/** Work that hears the signal ends by itself within this time, and what it comes to counts. */
const graceMs = 1_000

/**
 * The outcome of `work`, or the signal's reason soon after it has aborted: not everything that waits for a sandbox hears
 * a signal, and one whose root keeps the runner from answering would hold whoever waits. The work may go on unheard.
 */
export async function untilAborted<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  const { promise: given, reject } = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const letGo = (): void => {
    timer = setTimeout(() => reject(signal.reason), graceMs)
  }
  if (signal.aborted) letGo()
  signal.addEventListener('abort', letGo, { once: true })
  try {
    return await Promise.race([work, given])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', letGo)
  }
}
