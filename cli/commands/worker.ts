import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseChoice, parseCount } from '../parse-values.ts'
import { parseJobId } from '../run-options.ts'
import { Interrupts } from '../signals.ts'

interface WorkerFlags {
  readonly job?: string
  readonly provider?: string
  readonly sandboxes?: string
}

export function defineWorker(program: Command, host: CommandHost): void {
  program
    .command('worker')
    .option('--job <id>', 'serve only this job, and end with it; `run` starts such a worker by itself')
    .option('--provider <names>', 'serve only these, with commas between them (default: all that can be used here)')
    .option('--sandboxes <count>', 'how many sandboxes may be here at the same time (default 400)')
    .description('Serves jobs that were started with --no-worker, until SIGTERM. Any number may run, on any hosts.')
    .addHelpText('after', '\nExample:\n  TEMPORAL_ADDRESS=temporal:7233 rollcall worker\n')
    .action(async (flags: WorkerFlags) => host.exitWith(await work(flags, host.context)))
}

async function work(flags: WorkerFlags, { environment, stderr, signals, now }: CommandContext): Promise<number> {
  const job = flags.job === undefined ? {} : { job: parseJobId(flags.job) }
  if (job.job !== undefined) await assertKnown(job.job, environment)
  const limits = await parseSharing(flags)
  const [{ runWorker }, { writeLogLine }] = await Promise.all([
    import('../../workers/run-worker.ts'),
    import('../../workers/log-line.ts'),
  ])
  const stop = new AbortController()
  const left = Promise.withResolvers<'left'>()
  const cancel = () => {
    stderr.write('Stopping: running turns are handed over to other workers. Ctrl-C again ends at once.\n')
    stop.abort()
  }
  const interrupts = new Interrupts({ cancel, leave: () => left.resolve('left') }, now)
  signals.listen((signal) => interrupts.receive(signal))
  const working = runWorker({
    ...environment,
    ...job,
    ...limits,
    stop: stop.signal,
    log: writeLogLine,
  })
  return (await Promise.race([working, left.promise])) === 'left' ? exitCodes.interrupted : exitCodes.ok
}

/** What a shared worker serves. @throws RollcallError `configuration-invalid` */
async function parseSharing(flags: WorkerFlags): Promise<{ providerNames?: string[]; sandboxes?: number }> {
  const { providerNames: known } = await import('../../workers/providers.ts')
  const names = flags.provider?.split(',').map((name) => parseChoice('--provider', name, known))
  return {
    ...(names === undefined ? {} : { providerNames: names }),
    ...(flags.sandboxes === undefined ? {} : { sandboxes: parseCount('--sandboxes', flags.sandboxes) }),
  }
}

/** @throws RollcallError `configuration-invalid`; a worker of a job that never comes would wait for ever */
async function assertKnown(job: string, { storeUrl }: CommandContext['environment']): Promise<void> {
  const [{ openStore }, { readJobOptions }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/read-job.ts'),
  ])
  await readJobOptions(openStore(storeUrl), job)
}
