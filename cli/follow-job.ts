import type { JobEvent } from '../protocol/events.ts'
import type { JobSummary } from '../protocol/grade.ts'
import { BackgroundExport } from './background-export.ts'
import type { Job } from '../client/index.ts'
import type { CommandContext } from './context.ts'
import { exitCodes } from './exit-codes.ts'
import { jsonDisplay, liveDisplay, plainDisplay } from './progress-display.ts'
import type { ProgressDisplay } from './progress-display.ts'
import { printKeptSandboxes } from './kept-sandboxes.ts'
import { wasCancelled } from '../results/summary.ts'
import { exitCodeOf, printSummary } from './print-summary.ts'
import { Interrupts } from './signals.ts'

/** The part of a job that following needs. */
export type FollowedJob = Pick<Job, 'id' | 'uiUrl' | 'store' | 'progress' | 'events' | 'result' | 'cancel'>

export interface FollowOptions {
  readonly job: FollowedJob
  readonly json: boolean
  /** Where rollouts are exported as they end. Default: nowhere. */
  readonly jobsDir?: string
  /** What the first Ctrl-C does: ask the job to cancel, or leave it alone and go. */
  readonly onInterrupt: 'cancel' | 'leave'
  /** A mean below it is exit code 1. Default: any mean will do. */
  readonly failUnder?: number | undefined
}

/**
 * Shows a job's progress until it has ended, prints what it came to, and answers with the exit code. Interrupted, it
 * asks the job to cancel and waits for its teardown, or leaves it running (`signals.ts`).
 */
export async function followJob(options: FollowOptions, context: CommandContext): Promise<number> {
  const { job } = options
  const display = await openDisplay(options, context)
  const left = Promise.withResolvers<undefined>()
  const interrupts = new Interrupts(interruptActions({ options, display, left }), context.now)
  const stopListening = context.signals.listen((signal) => interrupts.receive(signal))
  try {
    const followed = await Promise.race([left.promise, followToEnd(options, display)])
    display.close()
    if (followed) return await printEnd(followed, options, context)
    context.stderr.write(`${comeBack(job.id)}\n`)
    return exitCodes.interrupted
  } finally {
    stopListening()
    display.close()
  }
}

/** How to come back to a job that was left. */
export function comeBack(job: string): string {
  return `Job ${job} runs on without this terminal: rollcall watch ${job} comes back to it, rollcall cancel ${job} ends it.`
}

async function openDisplay(options: FollowOptions, context: CommandContext): Promise<ProgressDisplay> {
  if (options.json) return jsonDisplay(options.job, context)
  return context.stderr.isTTY ? liveDisplay(options.job, context) : plainDisplay(options.job, context)
}

function interruptActions(following: {
  options: FollowOptions
  display: ProgressDisplay
  left: PromiseWithResolvers<undefined>
}): { cancel?: () => void; leave: () => void } {
  const { options, display, left } = following
  const leave = () => left.resolve(undefined)
  if (options.onInterrupt === 'leave') return { leave }
  const cancel = () => {
    display.notice('Cancelling: waiting for the sandboxes to be removed. Ctrl-C again leaves the job running.')
    options.job.cancel().catch((error: unknown) => left.reject(error))
  }
  return { cancel, leave }
}

interface Followed {
  readonly summary: JobSummary
  readonly cancelled: boolean
  readonly exported: BackgroundExport | undefined
}

async function followToEnd(options: FollowOptions, display: ProgressDisplay): Promise<Followed> {
  const { job, jobsDir } = options
  const exported = jobsDir === undefined ? undefined : new BackgroundExport({ store: job.store, job: job.id, jobsDir })
  let cancelled = false
  const followEvents = async () => {
    for await (const event of job.events()) {
      display.event(event)
      if (hasRolloutEnded(event)) exported?.add(event.rollout)
      cancelled ||= event.type === 'job' && event.state === 'cancelled'
    }
  }
  const [summary] = await Promise.all([job.result(), followEvents()])
  return { summary, cancelled: cancelled || wasCancelled(summary), exported }
}

function hasRolloutEnded(event: JobEvent): event is JobEvent & { type: 'rollout' } {
  return event.type === 'rollout' && event.state !== 'started'
}

/** An export that fails does not hide the grades: they are printed first. */
async function printEnd(followed: Followed, options: FollowOptions, context: CommandContext): Promise<number> {
  const { summary, cancelled, exported } = followed
  const { job, json } = options
  const [folder] = await Promise.allSettled([exported?.finish()])
  const exportedTo = folder.status === 'fulfilled' ? folder.value : undefined
  await printSummary({ summary, json, folder: exportedTo, uiUrl: job.uiUrl }, context)
  await printKeptSandboxes({ store: job.store, job: job.id }, context)
  if (folder.status === 'rejected') throw folder.reason
  if (cancelled) return exitCodes.interrupted
  return exitCodeOf(summary, { failUnder: options.failUnder, context })
}
