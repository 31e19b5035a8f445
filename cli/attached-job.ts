import type { Job } from '../client/index.ts'
import type { CommandContext } from './context.ts'
import { exitCodes } from './exit-codes.ts'
import { leaveOnInterrupt } from './leave-on-interrupt.ts'
import { parseJobId } from './run-options.ts'

/** Attaches to a job, uses it, and lets go of it. @returns what `use` returns, or 130 when interrupted before */
export async function attachedJob(
  target: {
    readonly id: string
    /** `own`: also start a worker for the job if none serves it. */
    readonly worker: 'own' | 'shared'
  },
  context: CommandContext,
  use: (job: Job) => Promise<number>,
): Promise<number> {
  const { environment, stderr } = context
  const id = parseJobId(target.id)
  const onProgress = (line: string) => stderr.write(`${line}\n`)
  const attaching = async () =>
    (await import('../client/job.ts')).Job.attach(id, { environment, worker: target.worker, onProgress })
  const job = await leaveOnInterrupt(attaching, context)
  if (job === undefined) return exitCodes.interrupted
  try {
    return await use(job)
  } finally {
    await job.close()
  }
}
