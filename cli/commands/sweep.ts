import type { Command } from 'commander'
import type { Provider } from '../../providers/contract/provider.ts'
import { escapeControls } from '../../results/terminal-text.ts'
import type { Sweep, SweptSandbox } from '../../workers/sweep.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { badOption, parseChoice, parsePairs } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { parseJobId } from '../run-options.ts'
import { repeatable } from './command-options.ts'

interface SweepFlags {
  readonly provider?: string
  readonly providerArg: readonly string[]
  readonly kept?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function defineSweep(program: Command, host: CommandHost): void {
  program
    .command('sweep')
    .option('--provider <name>', 'only there; default: every provider that can be reached from here')
    .addOption(repeatable('--provider-arg <key=value>', 'a setting of that provider'))
    .option('--kept <job>', 'remove what a job has kept for a look inside, and nothing else')
    .option('--dry-run', 'say what would be removed, and touch nothing')
    .option('--json', 'one JSON object per sandbox')
    .description('Removes sandboxes that nobody owns any longer. Workers do so by themselves, every five minutes.')
    .addHelpText('after', help)
    .action(async (flags: SweepFlags) => host.exitWith(await sweep(flags, host.context)))
}

const help = `
Examples:
  rollcall sweep --dry-run
  rollcall sweep --provider docker
  rollcall sweep --kept nightly-7

A sandbox goes when its rollout is over, unknown to the server, or lives in a later sandbox, and it is older than two
minutes. One that is kept, or is of another Temporal namespace, stays until it expires. What Rollcall has not made is
never touched.
`

async function sweep(flags: SweepFlags, context: CommandContext): Promise<number> {
  const { environment, stderr } = context
  const kept = flags.kept === undefined ? undefined : parseJobId(flags.kept)
  const [{ connectTemporal }, { createProviders }] = await Promise.all([
    import('../../client/connect.ts'),
    import('../../workers/providers.ts'),
  ])
  const providers = createProviders(environment)
  const onProgress = (line: string) => stderr.write(`${line}\n`)
  try {
    const chosen = await chosenProviders(flags, providers)
    const temporal = await connectTemporal({ ...environment, onProgress })
    try {
      const swept = await sweepProviders({ chosen, flags, kept, client: temporal.client }, context)
      if (kept !== undefined && swept.length === 0) await assertKnownJob(kept, environment)
      report(swept, flags, context)
      return swept.some(({ action }) => action === 'failed') ? exitCodes.failed : exitCodes.ok
    } finally {
      await temporal.close()
    }
  } finally {
    await providers.close()
  }
}

/** Nothing was found of a job: that it has kept nothing is an answer, that nobody has heard of it is not. */
async function assertKnownJob(job: string, { storeUrl }: CommandContext['environment']): Promise<void> {
  const [{ openStore }, { findJobOptions }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/read-job.ts'),
  ])
  if ((await findJobOptions(openStore(storeUrl), job)) !== undefined) return
  throw badOption('--kept', job, `the id of a job of the store ${storeUrl}; \`rollcall status\` lists them`)
}

interface ChosenProvider {
  readonly provider: Provider
  /** It was asked for by name, so that it must be there. */
  readonly isNamed: boolean
}

async function chosenProviders(
  flags: SweepFlags,
  providers: { provider(name: string, options: Readonly<Record<string, string>>): Promise<Provider> },
): Promise<ChosenProvider[]> {
  const { providerNames, providersHere } = await import('../../workers/providers.ts')
  const options = parsePairs('--provider-arg', flags.providerArg)
  const isNamed = flags.provider !== undefined
  const names = isNamed ? [parseChoice('--provider', flags.provider ?? '', providerNames)] : providersHere
  return await Promise.all(
    names.map(async (name) => ({ provider: await providers.provider(name, isNamed ? options : {}), isNamed })),
  )
}

async function sweepProviders(
  at: {
    chosen: readonly ChosenProvider[]
    flags: SweepFlags
    kept: string | undefined
    client: Sweep['client']
  },
  { stderr, now }: CommandContext,
): Promise<SweptSandbox[]> {
  const [{ sweepPlace }, { namespaceUuid }] = await Promise.all([
    import('../../workers/sweep.ts'),
    import('../../client/connect.ts'),
  ])
  const { chosen, flags, kept, client } = at
  const policy = { nowMs: now(), ...(kept === undefined ? {} : { takeKept: true, minimumAgeMs: 0 }) }
  // Asked first, so that the server's silence is not taken for a provider's.
  const namespace = await namespaceUuid(client)
  const labels = kept === undefined ? {} : { namespace, job: kept }
  const common = { client, policy, labels, dryRun: flags.dryRun === true, log: () => {} }
  const swept: SweptSandbox[] = []
  for (const { provider, isNamed } of chosen) {
    try {
      swept.push(...(await sweepPlace({ ...common, provider })))
    } catch (error) {
      if (isNamed) throw error
      stderr.write(`Not swept: ${escapeControls(error instanceof Error ? error.message : String(error))}\n`)
    }
  }
  return swept
}

function report(swept: readonly SweptSandbox[], { json, dryRun }: SweepFlags, { stdout }: CommandContext): void {
  if (json === true) {
    for (const each of swept) stdout.write(`${JSON.stringify(each)}\n`)
    return
  }
  const verbs = { removed: dryRun === true ? 'would remove' : 'removed', left: 'left', failed: 'COULD NOT REMOVE' }
  for (const { action, name, provider, ownership, because } of swept) {
    stdout.write(
      `${verbs[action]} ${provider} ${name} of ${escapeControls(ownership.workflow)}: ${escapeControls(because)}\n`,
    )
  }
  const count = (action: SweptSandbox['action']) => swept.filter((each) => each.action === action).length
  const failed = count('failed') === 0 ? '' : `, ${count('failed')} could not be removed`
  stdout.write(`${verbs.removed} ${count('removed')}, left ${count('left')}${failed}\n`)
}
