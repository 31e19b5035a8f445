/** Work that hears the signal ends by itself within this time, and what it comes to counts. */
export const graceMs = 1_000

export interface LettingGo {
  /** What the work comes to within this time still counts. */
  readonly afterMs: number
  readonly error: unknown
}

/**
 * The outcome of `work`, or the signal's reason soon after it has aborted: not everything that waits for a sandbox hears
 * a signal, and one whose root keeps the runner from answering would hold whoever waits. The work may go on unheard.
 * @param lettingGo Asked when the signal has aborted. Default: its reason, after a second
 */
export async function untilAborted<Result>(
  signal: AbortSignal,
  work: Promise<Result>,
  lettingGo: () => LettingGo = () => ({ afterMs: graceMs, error: signal.reason }),
): Promise<Result> {
  const { promise: given, reject } = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const letGo = (): void => {
    const { afterMs, error } = lettingGo()
    timer = setTimeout(() => reject(error), afterMs)
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
