import type { ProfileDefinition, Sandboxes, Slot } from '../client/index.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { CommandContext } from './context.ts'
import { parseDurationMs } from './parse-values.ts'

/** How every command of `rollcall sandbox` names its pool. */
export interface SlotFlags {
  readonly profile?: string
  readonly poolName?: string
  readonly profiles?: string
  readonly provider?: string
  readonly lease?: string
}

const defaultLeaseMs = 15 * 60_000
const defaultName = 'default'

/** Uses the pool of a profile, and lets go of it: leases live on. */
export async function withSandboxes(
  at: { flags: SlotFlags; context: CommandContext },
  work: (sandboxes: Sandboxes, profile: string) => Promise<void>,
): Promise<void> {
  const { flags, context } = at
  const { environment, stderr } = context
  const profile = flags.profile ?? defaultName
  const { Sandboxes: opened } = await import('../client/index.ts')
  const sandboxes = await opened.start({
    ...(await profilesOf(flags, context)),
    start: [profile],
    pool: flags.poolName ?? defaultName,
    leaseMs: flags.lease === undefined ? defaultLeaseMs : parseDurationMs('--lease', flags.lease),
    environment,
    onProgress: (line) => stderr.write(`${line}\n`),
  })
  try {
    await work(sandboxes, profile)
  } finally {
    await sandboxes.close()
  }
}

/**
 * Uses the slot of a holder, whose lease begins anew with it.
 * @param at.isNew a slot is waited for; without it the holder must have one, since another one would have nothing in it
 */
export async function withSlot(
  at: { holder: string; flags: SlotFlags; context: CommandContext; isNew?: true; timeoutMs?: number },
  work: (sandboxes: Sandboxes, slot: Slot) => Promise<void>,
): Promise<void> {
  const { holder, isNew, timeoutMs } = at
  await withSandboxes(at, async (sandboxes, profile) => {
    if (isNew === undefined) await assertHolds(sandboxes, { holder, profile })
    const slot = await sandboxes.acquire(holder, { profile, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
    await work(sandboxes, slot)
  })
}

export async function holds(sandboxes: Sandboxes, at: { holder: string; profile: string }): Promise<boolean> {
  const pool = (await sandboxes.status())[at.profile]
  const slots = pool?.sandboxes.flatMap(({ slots: all }) => all) ?? []
  return slots.some(({ holder, state }) => holder === at.holder && state === 'leased')
}

async function assertHolds(sandboxes: Sandboxes, at: { holder: string; profile: string }): Promise<void> {
  if (await holds(sandboxes, at)) return
  throw new RollcallError(
    'lease-lost',
    `${at.holder} has no slot of profile ${at.profile}: it was released, or its lease has run out. ` +
      `rollcall sandbox acquire ${at.holder} waits for one`,
  )
}

/** Those that are named or set; else the one that the pool runs with, so that nobody needs to say it again. */
async function profilesOf(
  flags: SlotFlags,
  { environment }: CommandContext,
): Promise<{ profiles?: string | Record<string, ProfileDefinition>; provider?: string }> {
  const { env } = environment
  const isSet = ['ROLLCALL_PROFILES_FILE', 'ATROPOS_MODAL_PROFILES_FILE'].some((name) => Boolean(env[name]))
  const provider = flags.provider === undefined ? {} : { provider: flags.provider }
  if (flags.profiles !== undefined) return { profiles: flags.profiles, ...provider }
  if (isSet || Object.keys(env).some((name) => name.startsWith('ATROPOS_MODAL_'))) return provider
  const [{ connectTemporal }, { PoolClient, isPoolGone }, { poolId }] = await Promise.all([
    import('../client/connect.ts'),
    import('../client/sandboxes/pool-client.ts'),
    import('../client/sandboxes/start-pool.ts'),
  ])
  const id = poolId(flags.poolName ?? defaultName, flags.profile ?? defaultName)
  const temporal = await connectTemporal({ ...environment, onProgress: () => {} })
  try {
    const { name, ...definition } = (await new PoolClient({ client: temporal.client, id }).status()).profile
    return { profiles: { [name]: definition } }
  } catch (error) {
    if (!isPoolGone(error)) throw error
    const message = `Pool ${id} does not run, and no profiles are named: expected --profiles FILE or ROLLCALL_PROFILES_FILE`
    throw new RollcallError('configuration-invalid', message)
  } finally {
    await temporal.close()
  }
}
