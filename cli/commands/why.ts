import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineWhy(program: Command, host: CommandHost): void {
  program
    .command('why')
    .argument('<rollout>', 'JOB.TASK.AGENT.ATTEMPT, or the beginning or end of it that no other has')
    .option('--json', 'as one JSON object')
    .description('Says what a rollout does or waits for, since when and where, or what ended it. Needs no worker.')
    .addHelpText(
      'after',
      '\nExamples:\n  rollcall why nightly-7.hello.oracle.1\n  rollcall why nightly-7.hello\n  rollcall why hello.oracle.1 --json\n',
    )
    .action(async (rollout: string, flags: { json?: boolean }) =>
      host.exitWith(await why(rollout, flags.json === true, host.context)),
    )
}

async function why(text: string, json: boolean, context: CommandContext): Promise<number> {
  const { environment, stdout, stderr, now } = context
  const [{ openStore }, { findRollout }, { explainRollout }, { connectTemporal }, { explanationLines }] =
    await Promise.all([
      import('../../store/open-store.ts'),
      import('../../results/find-rollout.ts'),
      import('../../client/explain-rollout.ts'),
      import('../../client/connect.ts'),
      import('../explanation-view.ts'),
    ])
  const store = openStore(environment.storeUrl)
  const found = await findRollout(store, text)
  let connecting: ReturnType<typeof connectTemporal> | undefined
  const temporal = () =>
    (connecting ??= connectTemporal({ ...environment, onProgress: (line) => stderr.write(`${line}\n`) }))
  try {
    const explained = await explainRollout(found, { store, temporal })
    const lines = explanationLines(explained, { nowMs: now(), storeUrl: store.url })
    stdout.write(json ? `${JSON.stringify(explained)}\n` : `${lines.join('\n')}\n`)
    return exitCodes.ok
  } finally {
    await (await connecting?.catch(() => undefined))?.close()
  }
}
