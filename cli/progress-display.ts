import { setTimeout as delay } from 'node:timers/promises'
import type { JobEvent } from '../protocol/events.ts'
import type { Job } from '../client/index.ts'
import type { CommandContext } from './context.ts'
import { PlainProgress } from './plain-progress.ts'
import { endedCount, progressLines } from './progress-view.ts'
import { RetryNotices } from './retry-notices.ts'

/** Shows a job's progress while it is followed. */
export interface ProgressDisplay {
  event(event: JobEvent): void
  /** A line that stays to be seen while the job goes on. */
  notice(text: string): void
  /** Removes what only made sense while the job ran. */
  close(): void
}

/** One JSON object per line on stdout, for scripts; notices go to stderr. */
export function jsonDisplay(job: Pick<Job, 'progress'>, { stdout, stderr }: CommandContext): ProgressDisplay {
  const notice = (text: string) => stderr.write(`${text}\n`)
  return {
    event: (event) => stdout.write(`${JSON.stringify(event)}\n`),
    notice,
    close: watchRetries(job, notice),
  }
}

/** A line on stderr for each thing that happened: what a log file or a CI can show. */
export function plainDisplay(job: Pick<Job, 'progress'>, { stderr, now }: CommandContext): ProgressDisplay {
  const startedAt = now()
  const progress = new PlainProgress()
  const notice = (text: string) => stderr.write(`${text}\n`)
  return {
    event: (event) => {
      const line = progress.line(event, now() - startedAt)
      if (line !== undefined) stderr.write(`${line}\n`)
    },
    notice,
    close: watchRetries(job, notice),
  }
}

/** Long enough for most failures to have passed, short against a person's patience. */
const lookForRetriesMs = 10_000

/** Events tell what has happened; that a step is tried again and again shows only in the progress. @returns stop */
function watchRetries(job: Pick<Job, 'progress'>, notice: (text: string) => void): () => void {
  const notices = new RetryNotices()
  const look = async () => {
    const progress = await job.progress().catch(() => ({ running: [] }))
    for (const line of notices.lines(progress)) notice(line)
  }
  const timer = setInterval(() => void look(), lookForRetriesMs)
  return () => clearInterval(timer)
}

/** At most four times a second, also when the server answers at once. */
const redrawMs = 500

/** Overall bar and running rollouts, drawn over themselves on the terminal that stderr is. */
export async function liveDisplay(job: Pick<Job, 'progress'>, context: CommandContext): Promise<ProgressDisplay> {
  const { createLogUpdate } = await import('log-update')
  const draw = createLogUpdate(context.stderr.stream)
  const ended = new AbortController()
  const shown: { notice?: string } = {}
  // Not waited for at the end: a server that does not answer must not keep a person who leaves.
  void drawUntil({ job, context, draw, shown, ended: ended.signal })
  return {
    event: () => {},
    notice: (text) => {
      shown.notice = text
    },
    close: () => {
      ended.abort()
      draw.clear()
      draw.done()
    },
  }
}

interface Drawing {
  readonly job: Pick<Job, 'progress'>
  readonly context: CommandContext
  readonly draw: (text: string) => void
  readonly shown: { readonly notice?: string }
  readonly ended: AbortSignal
}

async function drawUntil({ job, context, draw, shown, ended }: Drawing): Promise<void> {
  const startedAt = context.now()
  let doneBefore: number | undefined
  while (!ended.aborted) {
    // The picture is a convenience: whether the job can still be reached, its events and result tell.
    const progress = await job.progress().catch(() => undefined)
    if (progress && !ended.aborted) {
      doneBefore ??= endedCount(progress.status)
      const elapsedMs = context.now() - startedAt
      const lines = progressLines({ ...progress, ...shown, ...context.stderr.size(), elapsedMs, doneBefore })
      draw(lines.join('\n'))
    }
    await delay(redrawMs, undefined, { signal: ended }).catch(() => undefined)
  }
}
