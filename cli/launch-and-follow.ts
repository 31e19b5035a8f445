import { resolve } from 'node:path'
import type { Job } from '../client/index.ts'
import { proveWritableFolder } from '../store/writable-folder.ts'
import type { CommandContext } from './context.ts'
import { exitCodes } from './exit-codes.ts'
import { leaveOnInterrupt } from './leave-on-interrupt.ts'

export interface Following {
  readonly jobsDir: string
  readonly json: boolean
  /** Returns as soon as the job runs. */
  readonly detach: boolean
  /** A mean below it is exit code 1. Undefined: every mean will do. */
  readonly failUnder: number | undefined
}

/** Starts a job (`run`, `rerun`, `regrade`) and stays with it to its end. @returns the exit code */
export async function launchAndFollow(
  launch: () => Promise<Job>,
  following: Following,
  context: CommandContext,
): Promise<number> {
  const { jobsDir, json, failUnder } = following
  await proveWritableFolder('--jobs-dir', resolve(jobsDir))
  const job = await leaveOnInterrupt(launch, context)
  if (job === undefined) return exitCodes.interrupted
  try {
    announce(job, context)
    if (following.detach) return await detach(job, { json }, context)
    const { followJob } = await import('./follow-job.ts')
    return await followJob({ job, json, jobsDir, onInterrupt: 'cancel', failUnder }, context)
  } finally {
    await job.close()
  }
}

function announce(job: Job, { stderr }: CommandContext): void {
  // Whether it can start, planning will tell: the display says so.
  const what = job.attached ? 'was started before, coming back to it' : 'is being planned'
  stderr.write(`Job ${job.id} ${what}${job.uiUrl === undefined ? '' : `: ${job.uiUrl}`}\n`)
}

async function detach(job: Job, { json }: { json: boolean }, { stdout, stderr }: CommandContext): Promise<number> {
  const { comeBack } = await import('./follow-job.ts')
  stderr.write(`${comeBack(job.id)}\n`)
  const detached = { type: 'detached', job: job.id, ...(job.uiUrl === undefined ? {} : { ui: job.uiUrl }) }
  stdout.write(json ? `${JSON.stringify(detached)}\n` : `${job.id}\n`)
  return exitCodes.ok
}
