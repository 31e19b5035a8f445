import type { Command } from 'commander'
import { attachedJob } from '../attached-job.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseCount } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'

export function definePause(program: Command, host: CommandHost): void {
  program
    .command('pause')
    .argument('<job>', 'id of the job')
    .description('Starts no further rollouts of a job; those that run go on to their end.')
    .addHelpText('after', '\nExample:\n  rollcall pause nightly-7\n')
    .action(async (id: string) => {
      const pause = attachedJob({ id, worker: 'own' }, host.context, async (job) => {
        await job.pause()
        host.context.stdout.write(`Job ${job.id} is paused: rollcall resume ${job.id} continues it.\n`)
        return exitCodes.ok
      })
      host.exitWith(await pause)
    })
}

export function defineResume(program: Command, host: CommandHost): void {
  program
    .command('resume')
    .argument('<job>', 'id of the job')
    .option('-n, --concurrency <n>', 'from now on, so many rollouts at the same time')
    .description('Continues a paused job.')
    .addHelpText('after', '\nExample:\n  rollcall resume nightly-7 -n 2\n')
    .action(async (id: string, flags: { concurrency?: string }) => {
      const { concurrency } = flags
      const size = concurrency === undefined ? undefined : parseCount('--concurrency', concurrency, { max: 10_000 })
      const resume = attachedJob({ id, worker: 'own' }, host.context, async (job) => {
        if (size !== undefined) await job.setConcurrency(size)
        await job.resume()
        host.context.stdout.write(`Job ${job.id} goes on: rollcall watch ${job.id} shows its progress.\n`)
        return exitCodes.ok
      })
      host.exitWith(await resume)
    })
}
