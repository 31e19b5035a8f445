import type { CommandContext } from './context.ts'

/**
 * Does work that may take long and that a signal may end at any time: starting a server, loading tasks, starting a job.
 * @returns undefined when a signal came first; the work is then left behind, for the process to end
 */
export async function leaveOnInterrupt<Result>(
  work: () => Promise<Result>,
  context: CommandContext,
): Promise<Result | undefined> {
  const left = Promise.withResolvers<undefined>()
  const stopListening = context.signals.listen(() => left.resolve(undefined))
  try {
    const result = await Promise.race([work(), left.promise])
    if (result === undefined) context.stderr.write('Interrupted. rollcall status shows whether a job has started.\n')
    return result
  } finally {
    stopListening()
  }
}
