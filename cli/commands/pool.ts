import type { Command } from 'commander'
import type { TemporalConnection } from '../../client/connect.ts'
import type { PoolClient } from '../../client/sandboxes/pool-client.ts'
import { RollcallError } from '../../protocol/failure.ts'
import { counted } from '../../protocol/names.ts'
import type { PoolStatus } from '../../protocol/pool.ts'
import { escapeControls } from '../../results/terminal-text.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseCount } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'

interface PoolFlags {
  readonly poolName?: string
  readonly profiles?: string
  readonly provider?: string
  readonly min?: string
  readonly max?: string
  readonly purge?: boolean
  readonly json?: boolean
}

export function definePool(program: Command, host: CommandHost): void {
  const pool = program
    .command('pool')
    .description('Pools of warm sandboxes, one for each profile.')
    .addHelpText('after', examples)
  const add = (name: string, description: string): Command =>
    pool
      .command(name)
      .argument('<profile>', 'name of the profile')
      .option('--pool-name <name>', 'keeps pools of the same profile apart (default default)')
      .description(description)
      .addHelpText('after', `\nExample:\n  rollcall pool ${name} default\n`)
  const act = (work: typeof start) => async (profile: string, flags: PoolFlags) =>
    host.exitWith(await work(profile, flags, host.context))
  add('start', 'Starts the pool of a profile unless it runs; a worker, too, on the embedded server.')
    .option('--profiles <file>', 'profiles in YAML (default: ROLLCALL_PROFILES_FILE, or Atropos’ variables)')
    .option('--provider <name>', 'for profiles that name none (default docker)')
    .action(act(start))
  add('status', 'Shows its sandboxes, slots and queue.').option('--json', 'as JSON').action(act(status))
  add('resize', 'Changes how many sandboxes it has at least and at most.')
    .option('--min <n>', 'sandboxes that are kept when nobody needs any')
    .option('--max <n>', 'sandboxes at most')
    .action(act(resize))
  add('stop', 'Removes every sandbox, and returns when they are gone; leases that are held are waited for.')
    .option('--purge', 'ends leases that are held')
    .action(act(stop))
}

const examples = `
Examples:
  rollcall pool start default --profiles profiles.yaml
  rollcall pool status default
  rollcall pool resize default --max 10
  rollcall pool stop default --purge
`

type InPool = (profile: string, flags: PoolFlags, context: CommandContext) => Promise<number>

const start: InPool = async (name, flags, context) => {
  const { environment, stdout, stderr } = context
  const { loadProfiles } = await import('../../client/sandboxes/profiles.ts')
  const profiles = await loadProfiles({
    ...(flags.profiles === undefined ? {} : { profiles: flags.profiles }),
    ...(flags.provider === undefined ? {} : { provider: flags.provider }),
    env: environment.env,
    directory: environment.workingDirectory,
  })
  const profile = profiles[name]
  if (profile === undefined) {
    const there = Object.keys(profiles).join(', ')
    throw new RollcallError('configuration-invalid', `There is no profile ${name}: expected one of ${there}`)
  }
  const { startPool } = await import('../../client/sandboxes/start-pool.ts')
  const named = flags.poolName === undefined ? {} : { pool: flags.poolName }
  return await connected(context, async (temporal) => {
    const onProgress = (line: string): void => stderr.write(`${line}\n`)
    const pool = await startPool({ temporal, environment, profile, onProgress, ...named })
    stdout.write(`${pool.id} runs\n`)
    await pool.close()
  })
}

const status: InPool = (profile, flags, context) =>
  inPool({ profile, flags, context }, async (pool) => {
    const found = await pool.status()
    context.stdout.write(flags.json === true ? `${JSON.stringify(found)}\n` : `${statusLines(found).join('\n')}\n`)
  })

const resize: InPool = (profile, flags, context) =>
  inPool({ profile, flags, context }, (pool) =>
    pool.resize({
      ...(flags.min === undefined ? {} : { minSandboxes: parseCount('--min', flags.min, { min: 0 }) }),
      ...(flags.max === undefined ? {} : { maxSandboxes: parseCount('--max', flags.max) }),
    }),
  )

const stop: InPool = (profile, flags, context) =>
  inPool({ profile, flags, context }, async (pool) => {
    await pool.stop({ purge: flags.purge ?? false })
    context.stdout.write(`${pool.id} has ended, and all its sandboxes are gone\n`)
  })

async function inPool(
  at: { profile: string; flags: PoolFlags; context: CommandContext },
  work: (pool: PoolClient) => Promise<void>,
): Promise<number> {
  const { poolId } = await import('../../client/sandboxes/start-pool.ts')
  const { PoolClient: Pool } = await import('../../client/sandboxes/pool-client.ts')
  const { ensureSharedWorker } = await import('../../client/shared-worker.ts')
  const id = poolId(at.flags.poolName ?? 'default', at.profile)
  const { environment, stderr } = at.context
  return await connected(at.context, async (temporal) => {
    const onProgress = (line: string): void => stderr.write(`${line}\n`)
    // Without a worker a pool answers nobody, and does nothing.
    await ensureSharedWorker({ temporal, environment, onProgress, what: 'pools' })
    const pool = new Pool({ client: temporal.client, id })
    await work(pool)
    await pool.close()
  })
}

async function connected(
  { environment, stderr }: CommandContext,
  work: (temporal: TemporalConnection) => Promise<void>,
): Promise<number> {
  const { connectTemporal } = await import('../../client/connect.ts')
  const temporal = await connectTemporal({ ...environment, onProgress: (line) => stderr.write(`${line}\n`) })
  try {
    await work(temporal)
    return exitCodes.ok
  } finally {
    await temporal.close()
  }
}

/** What a person wants to see of a pool. Exported for its test. */
export function statusLines({ pool, state, sandboxes, slots, queue, ...rest }: PoolStatus): string[] {
  const { minSandboxes, maxSandboxes, hindrance } = rest
  const lines = sandboxes.map((sandbox) => {
    const held = sandbox.slots.flatMap(({ slot, holder, state: now }) =>
      holder === undefined ? [] : [`${slot} ${now} ${escapeControls(holder)}`],
    )
    const because = sandbox.because === undefined ? '' : ` (${escapeControls(sandbox.because)})`
    const name = sandbox.name ?? `number ${sandbox.number}`
    return `  ${name}: ${sandbox.state}${because}${held.length === 0 ? '' : `; slots ${held.join(', ')}`}`
  })
  return [
    `${pool}: ${state}, ${counted(sandboxes.length, 'sandbox').replace(/xs$/, 'xes')} (${minSandboxes} to ${maxSandboxes})`,
    `slots: ${slots.total}, ${slots.leased} leased, ${slots.kept} kept, ${slots.free} free; ${queue.length} waiting`,
    ...(hindrance === undefined ? [] : [`no sandbox can be made: ${escapeControls(hindrance.message)}`]),
    ...lines,
  ]
}
