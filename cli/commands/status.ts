import type { Command } from 'commander'
import { attachedJob } from '../attached-job.ts'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import type { ListedJob } from '../../results/list-jobs.ts'
import { escapeControls } from '../../results/terminal-text.ts'
import { exitCodes } from '../exit-codes.ts'
import type { CommandHost } from '../run-cli.ts'

const jobsListed = 20

export function defineStatus(program: Command, host: CommandHost): void {
  program
    .command('status')
    .argument('[job]', 'id of the job; without one, the latest jobs are listed')
    .option('--json', 'as JSON')
    .description('Shows how far a job is, or the latest jobs.')
    .addHelpText('after', '\nExamples:\n  rollcall status\n  rollcall status nightly-7 --json\n')
    .action(async (id: string | undefined, flags: { json?: boolean }) => {
      const { context } = host
      const json = flags.json === true
      if (id === undefined) return host.exitWith(await listJobs({ json }, context))
      host.exitWith(await attachedJob({ id, worker: 'shared' }, context, (job) => showJob(job, { json }, context)))
    })
}

/** Nothing is drawn over itself here, so that lines may be as long as what they say. */
const unclipped = { columns: Infinity, rows: Infinity }

async function showJob(job: Job, { json }: { json: boolean }, { stdout }: CommandContext): Promise<number> {
  const { status, running } = await job.progress()
  if (json) {
    stdout.write(`${JSON.stringify({ ...status, rollouts: running })}\n`)
    return exitCodes.ok
  }
  const { progressLines } = await import('../progress-view.ts')
  const view = { status, running, elapsedMs: undefined, doneBefore: 0, ...unclipped }
  stdout.write(`Job ${job.id} is ${status.state}\n${progressLines(view).join('\n')}\n`)
  if (status.state === 'failed') stdout.write(`${await failureOf(job)}\n`)
  if (job.uiUrl !== undefined) stdout.write(`Temporal UI: ${job.uiUrl}\n`)
  return exitCodes.ok
}

/** What made planning fail: `result` rejects with it. */
async function failureOf(job: Job): Promise<string> {
  const error: unknown = await job.result().catch((reason: unknown) => reason)
  return error instanceof Error ? error.message : 'It failed for an unknown reason.'
}

async function listJobs({ json }: { json: boolean }, { environment, stdout, stderr }: CommandContext): Promise<number> {
  const [{ openStore }, { listLatestJobs }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/list-jobs.ts'),
  ])
  const jobs = await listLatestJobs(openStore(environment.storeUrl), jobsListed)
  const failures = await failuresOf(jobs, { environment, stderr })
  for (const job of jobs) {
    const failure = failures.get(job.job)?.message
    stdout.write(`${json ? JSON.stringify({ ...job, ...(failure ? { failure } : {}) }) : jobLine(job, failure)}\n`)
  }
  if (jobs.length === 0 && !json) stdout.write(`No job is in the store ${environment.storeUrl}.\n`)
  return exitCodes.ok
}

/**
 * The store knows results alone; why a job has none, Temporal tells. The list is worth showing without it, as long as it
 * says so.
 */
async function failuresOf(
  jobs: readonly ListedJob[],
  { environment, stderr }: Pick<CommandContext, 'environment' | 'stderr'>,
) {
  const { jobFailures } = await import('../../client/job-failures.ts')
  const unfinished = jobs.filter((job) => !job.finished).map(({ job }) => job)
  return await jobFailures(unfinished, environment).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    stderr.write(`Of jobs without results it is not known whether they run, since Temporal was not asked: ${reason}\n`)
    return new Map<string, Error>()
  })
}

function jobLine(job: ListedJob, failure: string | undefined): string {
  if (failure !== undefined) return `${job.job}  ${job.planned ? 'failed' : 'refused'}: ${oneLine(failure)}`
  if (!job.finished) return `${job.job}  not finished: rollcall status ${job.job}`
  if (!job.planned) return `${job.job}  cancelled before it was planned`
  const cancelled = job.cancelled ? `, ${job.cancelled} cancelled` : ''
  return `${job.job}  finished: ${job.graded ?? 0} graded, ${job.failed ?? 0} failed${cancelled}`
}

function oneLine(message: string): string {
  const [first = '', ...rest] = message.split('\n')
  return `${escapeControls(first)}${rest.length === 0 ? '' : ' …'}`
}
