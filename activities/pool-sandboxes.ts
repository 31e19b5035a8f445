import { setTimeout as delay } from 'node:timers/promises'
import type {
  CheckPoolInput,
  CheckPoolResult,
  MadeSandbox,
  PlacedPoolSandboxRef,
  Placement,
  PoolSandboxRef,
  RemovePoolSandboxInput,
} from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import { counted, slotUser } from '../protocol/names.ts'
import type { Profile } from '../protocol/pool.ts'
import { expiryMarginMs } from '../protocol/sandbox-life.ts'
import type { Problem, Provider, Sandbox } from '../providers/contract/provider.ts'
import { specHash } from '../providers/contract/spec-hash.ts'
import type { Runner } from '../runner/runner.ts'
import { timing } from '../workflows/timing.ts'
import { assertDone } from './assert-done.ts'
import { poolSpec } from './pool-spec.ts'
import { sandboxName } from './sandbox-name.ts'
import { assertPlace } from './sandboxes.ts'
import type { SandboxAttachments } from './sandboxes.ts'
import type { ActivityServices } from './services.ts'
import { makeSlotsScript } from './slot-scripts.ts'

export interface PoolDependencies {
  readonly services: ActivityServices
  readonly attachments: SandboxAttachments
}

const lookAgainMs = 500
const prepareTimeoutMs = 60_000
/** Of execs that are the pool's own: none of a slot's, and none of a rollout's, which are hashes. */
export const poolScope = 'pool'

/**
 * Answers with this worker's place, if the provider can make such sandboxes and there is room. Creates nothing, so it is
 * safe to run twice: only the answer that the history keeps counts.
 * @throws RollcallError `runtime-unsupported` with every field that cannot be, `secret-missing`, `provider-busy`
 */
export async function placePoolSandbox(input: PoolSandboxRef, { services }: PoolDependencies): Promise<Placement> {
  const { profile } = input
  const provider = await providerOf(profile, services)
  const spec = poolSpec(profile)
  const problems = [...slotProblems(profile, provider), ...(await provider.check(spec))]
  if (problems.length > 0) throw unsupported(profile, provider, problems)
  secretsOf(profile, services)
  await services.room.give(provider, poolSandboxName(input, services))
  return await services.reach(profile.provider)
}

/**
 * Makes a sandbox of a pool with its slots, or adopts it. Safe to run twice: by derived name, owner nonce and spec hash;
 * the slots by exec id.
 */
export async function openPoolSandbox(
  input: PlacedPoolSandboxRef,
  at: PoolDependencies & { signal: AbortSignal; onProgress: (line: string) => void },
): Promise<MadeSandbox> {
  const { services, attachments } = at
  const { profile, place } = input
  const provider = await providerOf(profile, services)
  await assertPlace(provider, place)
  const spec = specHash(poolSpec(profile))
  const sandbox = await createSandbox(input, { ...at, provider })
  const { name, image, workdir } = sandbox
  services.room.taken(name)
  const lease = { provider: provider.name, place, sandbox: name, incarnation: input.sandboxNumber, spec }
  await attachments.use({ provider, lease }, (runner) => makeSlots(profile, runner, at.signal))
  // What works in it next, a rollout's grading perhaps, wants to be alone.
  if (profile.slotUser === 'sandbox') attachments.forget(name)
  const found = await provider.find(name)
  if (found?.state !== 'running') throw new RollcallError('sandbox-lost', `${name} ended while it was made`)
  return { name, spec, image, workdir, endsAtMs: found.createdMs + profile.maxLifetimeMs }
}

async function createSandbox(
  input: PlacedPoolSandboxRef,
  at: PoolDependencies & { provider: Provider; signal: AbortSignal; onProgress: (line: string) => void },
): Promise<Sandbox> {
  const { services, provider, signal, onProgress } = at
  const { pool, owner, sandboxNumber, profile } = input
  const spec = poolSpec(profile)
  return await provider.createOrAdopt({
    name: poolSandboxName(input, services),
    spec,
    ownership: {
      namespace: services.namespace,
      job: pool,
      workflow: pool,
      role: 'pool',
      incarnation: sandboxNumber,
      owner,
      spec: specHash(spec),
      keep: 'never',
      expires: Date.now() + profile.maxLifetimeMs + expiryMarginMs,
    },
    secrets: secretsOf(profile, services),
    onProgress,
    signal,
  })
}

/** Its users and folders, and the proof that a command can run as one of them. */
async function makeSlots(profile: Profile, runner: Runner, signal: AbortSignal): Promise<void> {
  const common = { cwd: '/', timeoutMs: prepareTimeoutMs }
  const id = { scope: poolScope, phase: 0, batch: 0, call: 0, part: 0 }
  const made = await runner.exec({ id, script: makeSlotsScript(profile), user: 'root', ...common }, { signal })
  assertDone(made, 'making the slots', 'runtime-unsupported')
  if (profile.slotUser === 'sandbox') return
  const { name, uid } = slotUser(0)
  const proved = await runner.exec({ id: { ...id, call: 1 }, script: 'id -u', user: name, ...common }, { signal })
  assertDone(proved, 'switching to the user of a slot', 'runtime-unsupported')
  if (Number(proved.stdout.head.toString()) === uid) return
  const message = `Profile ${profile.name}: commands of a slot do not run as its user; slots need a sandbox that runs as root`
  throw new RollcallError('runtime-unsupported', message)
}

/**
 * Which of a pool's sandboxes here do not live: one look at the place for all of them. Changes nothing.
 * @throws RollcallError `provider-unavailable`; a provider that does not answer has not lost anything
 */
export async function checkPool(input: CheckPoolInput, { services }: PoolDependencies): Promise<CheckPoolResult> {
  const { pool, owner, profile, place } = input
  const provider = await providerOf(profile, services)
  await assertPlace(provider, place)
  const found = await provider.list({ namespace: services.namespace, workflow: pool, owner })
  const states = new Map(found.map((sandbox) => [sandbox.ownership.incarnation, sandbox]))
  const dead = input.sandboxes.flatMap((sandboxNumber) => {
    const sandbox = states.get(sandboxNumber)
    if (sandbox?.state === 'running') return []
    return [
      {
        sandboxNumber,
        reason: sandbox === undefined ? 'it no longer exists' : `it died (${sandbox.reason ?? 'unknown'})`,
      },
    ]
  })
  return { dead }
}

/**
 * Removes a sandbox of a pool, and returns when it is verified gone. Where its making has ended without an answer it looks
 * again for a while. Safe to run twice: by derived name, and one that has another owner is left alone.
 */
export async function removePoolSandbox(
  input: RemovePoolSandboxInput,
  { services, attachments, lateCreateMs = timing.lateCreateMs }: PoolDependencies & { lateCreateMs?: number },
): Promise<void> {
  const provider = await providerOf(input.profile, services)
  await assertPlace(provider, input.place)
  const name = poolSandboxName(input, services)
  attachments.forget(name)
  const lookUntil = input.mayAppear ? Date.now() + lateCreateMs : 0
  do {
    const found = await provider.find(name)
    if (found !== undefined && found.ownership.owner !== input.owner) return
    if (found !== undefined) await provider.destroy(name)
    else if (Date.now() < lookUntil) await delay(lookAgainMs)
  } while (Date.now() < lookUntil)
}

export async function providerOf({ provider }: Profile, services: ActivityServices): Promise<Provider> {
  return await services.provider(provider.name, provider.options)
}

/** Made of the owner nonce too: a pool that was terminated and started again makes others. */
export function poolSandboxName(input: PoolSandboxRef, { namespace }: Pick<ActivityServices, 'namespace'>): string {
  const { pool, profile, owner, sandboxNumber } = input
  const rolloutId = `${pool}.${owner}`
  const name = sandboxName({ namespace, rolloutId, role: 'pool', incarnation: sandboxNumber })
  const readable = `pool-${profile.name}-${sandboxNumber}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  return `rc-${readable.slice(0, 40)}-${name.slice(-16)}`
}

function slotProblems(profile: Profile, { capabilities }: Provider): Problem[] {
  if (profile.slotUser === 'sandbox' || capabilities.users) return []
  const field = profile.slotsPerSandbox > 1 ? 'slotsPerSandbox' : 'slotUser'
  const value = String(profile[field])
  return [{ field, value, expected: 'one slot per sandbox with the sandbox’s own user: there are no other users' }]
}

function unsupported({ name }: Profile, provider: Provider, problems: readonly Problem[]): RollcallError {
  const lines = problems.map(
    ({ field, value, expected }) => `${field}${value === undefined ? '' : ` is ${value}`}: ${expected}`,
  )
  const what = `Provider ${provider.name} cannot make sandboxes of profile ${name} (${counted(problems.length, 'problem')})`
  return new RollcallError('runtime-unsupported', `${what}: ${lines.join('; ')}`)
}

/** @throws RollcallError `secret-missing` naming all that are not in this worker's environment */
function secretsOf({ name, runtime }: Profile, services: ActivityServices): Readonly<Record<string, string>> {
  const names = runtime.secrets ?? []
  const found = services.secrets(names)
  const absent = names.filter((secret) => found[secret] === undefined)
  if (absent.length === 0) return found
  const message = `Profile ${name} names secrets that are not in the worker's environment: ${absent.join(', ')}`
  throw new RollcallError('secret-missing', message)
}
