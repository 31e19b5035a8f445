import type { Command } from 'commander'
import { attachedJob } from '../attached-job.ts'
import type { Job } from '../../client/index.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { leaveOnInterrupt } from '../leave-on-interrupt.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineCancel(program: Command, host: CommandHost): void {
  program
    .command('cancel')
    .argument('<job>', 'id of the job')
    .option('--no-wait', 'only ask; do not wait until the sandboxes are removed')
    .description('Cancels a job and waits until its sandboxes are removed.')
    .addHelpText('after', '\nExample:\n  rollcall cancel nightly-7\n')
    .action(async (id: string, flags: { wait: boolean }) => {
      const cancelling = attachedJob({ id, worker: 'own' }, host.context, (job) => cancel(job, flags, host.context))
      host.exitWith(await cancelling)
    })
}

async function cancel(job: Job, { wait }: { wait: boolean }, context: CommandContext): Promise<number> {
  if (!(await job.cancel())) {
    context.stdout.write(`Job ${job.id} had already ended: nothing to cancel.\n`)
    return exitCodes.ok
  }
  if (!wait) {
    context.stdout.write(`Job ${job.id} was asked to cancel.\n`)
    return exitCodes.ok
  }
  context.stderr.write(`Cancelling job ${job.id}: waiting for its sandboxes to be removed.\n`)
  const summary = await leaveOnInterrupt(() => job.result(), context)
  if (summary === undefined) return exitCodes.interrupted
  const { graded, failed, cancelled, rollouts } = summary
  if (rollouts.length === 0) {
    context.stdout.write(`Job ${job.id} has ended before it was planned: nothing was started.\n`)
    return exitCodes.ok
  }
  context.stdout.write(`Job ${job.id} has ended: ${graded} graded, ${failed} failed, ${cancelled} cancelled.\n`)
  return exitCodes.ok
}
