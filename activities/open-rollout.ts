import type { Lease, OpenedRollout, OpenInput, RolloutRef, VerifierRole } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import { expiryMarginMs } from '../protocol/sandbox-life.ts'
import type { Sandbox } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { specHash } from '../providers/contract/spec-hash.ts'
import type { Runner } from '../runner/runner.ts'
import { openedKey, resultKey, verifierOpenedKey } from '../store/keys.ts'
import type { RolloutPlace } from '../store/keys.ts'
import type { StoredOpening } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { partOf, partsOf } from '../tasks/task-parts.ts'
import type { Healthcheck } from '../tasks/task.ts'
import { agentFreedomScript, agentFreedomTimeoutMs, isBoundUser } from './agent-freedom.ts'
import { agentTask } from './agent-task.ts'
import { assertDone } from './assert-done.ts'
import { effectiveRuntime } from './effective-runtime.ts'
import { hostValues } from './host-values.ts'
import { maskingRunner } from './masking-runner.ts'
import { awaitHealthy } from './healthcheck.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import { agentUser, verifierSpec, verifierUser } from './part-spec.ts'
import { assertPlace } from './sandboxes.ts'
import type { SandboxAttachments } from './sandboxes.ts'
import { sandboxName } from './sandbox-name.ts'
import type { ActivityServices } from './services.ts'
import { agentSetupTimeoutMs, agentTimeoutMs, planOf } from './task-limits.ts'
import { takeSystemPicture } from './system-changes.ts'
import { scopeOf, uploadForAgent } from './upload-for-agent.ts'
import { acquirePooled, leaseOfSlot } from './pooled-sandbox.ts'
import { profileOf } from './rollout-spec.ts'
import { parseUserNumbers, userNumbersScript } from './user-numbers.ts'

export interface OpenDependencies {
  readonly context: JobContext
  readonly rollout: RolloutContext
  readonly services: ActivityServices
  readonly attachments: SandboxAttachments
  readonly signal: AbortSignal
  readonly onProgress: (line: string) => void
}

/**
 * Makes the rollout's sandbox, or one for a separate verifier, waits until it is ready and prepares it. Safe to run twice: the sandbox is adopted by its
 * derived name, the owner nonce and the spec hash; every command has its id. An attempt that wakes up after another has
 * opened, or after the rollout has ended, makes nothing.
 */
export async function openRollout(input: OpenInput, dependencies: OpenDependencies): Promise<OpenedRollout> {
  const { context, rollout, services } = dependencies
  await assertNotOver(input, context)
  const key = input.verifier === undefined ? openedKey(input) : verifierKey(input, input.verifier)
  const known = await getJson<StoredOpening>(context.store, key)
  if (known !== undefined) {
    services.room.taken(known.opened.lease.sandbox)
    return known.opened
  }
  const spec = specOf(input, dependencies)
  const { lease, image, workdir } = await openSandbox(input, spec, dependencies)
  const users = await prepare(input, { lease, workdir }, dependencies)
  const opened = { lease, ...planOf(rollout.task, context.options) }
  const provider = await context.providerOf(lease)
  const system = input.verifier === undefined ? await takeSystemPicture(provider, lease.sandbox) : undefined
  const runtime = effectiveRuntime(spec)
  const opening: StoredOpening = {
    opened,
    image,
    runtime,
    workdir,
    ...users,
    execs: [],
    ...(system === undefined ? {} : { system }),
  }
  return (await putJsonOnce(context.store, key, opening)).opened
}

/** A sandbox of its own, or the rollout's out of a pool. */
async function openSandbox(
  input: OpenInput,
  spec: SandboxSpec,
  dependencies: OpenDependencies,
): Promise<Pick<Sandbox, 'image' | 'workdir'> & { lease: Lease }> {
  const { context, rollout, services, signal } = dependencies
  const { incarnation, place: expected } = input
  const profile = input.verifier === undefined ? profileOf(rollout.task, context.options) : undefined
  if (profile !== undefined) {
    const slot = await acquirePooled(input, { context, task: rollout.task, profile, services, signal })
    return { lease: leaseOfSlot(slot, incarnation), image: slot.image, workdir: slot.workdir }
  }
  const provider = await context.provider()
  const place = await provider.place()
  if (expected !== undefined) await assertPlace(provider, expected)
  const { name: sandbox, image, workdir } = await createSandbox(input, spec, dependencies)
  services.room.taken(sandbox)
  return { lease: { provider: provider.name, place, sandbox, incarnation, spec: specHash(spec) }, image, workdir }
}

function verifierKey(input: OpenInput, { phase }: VerifierRole): string {
  return verifierOpenedKey({ ...input, phase })
}

function specOf({ verifier }: OpenInput, { rollout, context }: OpenDependencies): SandboxSpec {
  if (verifier === undefined) return rollout.spec
  const { task } = rollout
  const spec = verifierSpec({ task, part: partOf(task, verifier.step), options: context.options })
  if (spec === undefined) throw new RollcallError('internal', `The verifier of ${task.name} has no sandbox of its own`)
  return spec
}

async function prepare(
  input: OpenInput,
  { lease, workdir }: { lease: Lease; workdir: string },
  { context, rollout, attachments, signal }: OpenDependencies,
): Promise<Pick<StoredOpening, 'users' | 'stepUsers'>> {
  const provider = await context.providerOf(lease)
  // Sandboxes of a pool are nobody's in particular: no agent's installation is in their image.
  const layers = lease.options === undefined && provider.capabilities.imageLayers
  const { store, options } = context
  return await attachments.use({ provider, lease }, async (unmasked) => {
    const runner = maskingRunner(unmasked, rollout.host.mask)
    const at = { runner, rollout, workdir, scope: scopeOf(input), signal, layers, store, options, place: input }
    if (input.verifier === undefined) return await prepareSandbox(at)
    await makeLogs(at, [])
    return {}
  })
}

/** The result is stored before the sandbox is released: what is made after it would be nobody's. */
async function assertNotOver({ job, rollout }: RolloutRef, { store }: JobContext): Promise<void> {
  if ((await store.get(resultKey(job, rollout))) === undefined) return
  throw new RollcallError('cancelled', `Rollout ${rollout} has ended: no sandbox is made for it any more`)
}

async function createSandbox(
  input: OpenInput,
  spec: SandboxSpec,
  { context, services, signal, onProgress }: OpenDependencies,
): Promise<Sandbox> {
  const role = input.verifier === undefined ? ('main' as const) : ('verifier' as const)
  const phase = input.verifier === undefined ? {} : { phase: input.verifier.phase }
  const workflow = rolloutId(input.job, input.rollout)
  const { namespace } = services
  const provider = await context.provider()
  return await provider.createOrAdopt({
    name: sandboxName({ namespace, rolloutId: workflow, role, incarnation: input.incarnation, ...phase }),
    spec,
    ownership: {
      namespace,
      job: input.job,
      workflow,
      role,
      incarnation: input.incarnation,
      owner: input.owner,
      spec: specHash(spec),
      keep: context.options.keep,
      expires: Date.now() + spec.limits.lifetimeMs + expiryMarginMs,
    },
    secrets: hostValues({ spec, options: context.options, services }).secrets,
    onProgress,
    signal,
  })
}

interface Preparation {
  readonly runner: Runner
  readonly rollout: Pick<RolloutContext, 'task' | 'agent'> & { readonly spec: Pick<RolloutContext['spec'], 'user'> }
  readonly workdir: string
  readonly scope: string
  readonly signal: AbortSignal
  /** The provider has already put the agent's installation into the image. */
  readonly layers: boolean
  readonly store: Store
  readonly options: JobOptions
  readonly place: RolloutPlace
}

/**
 * Phase 0: the log folders, who its users are, the environment's health check, what the agent asked for, and its
 * installation where the image does not hold it yet. Exported for its test.
 */
export async function prepareSandbox(preparation: Preparation): Promise<Pick<StoredOpening, 'users' | 'stepUsers'>> {
  const { runner, rollout, workdir, scope, signal, options } = preparation
  const { task, agent, spec } = rollout
  const parts = partsOf(task)
  const names = parts.flatMap((part) => [agentUser({ part, spec, options }) ?? '', verifierUser(part)])
  const made = makeLogs(preparation, names)
  const first = { scope, phase: 0, batch: 0, call: 1 }
  // The steps of a task bring their own, before each of them.
  const own = agentTask(task, { workdir, timeoutMs: agentTimeoutMs(partOf(task), options) })
  const uploaded = task.steps.length > 0 ? [] : uploadForAgent({ runner, rollout, agentTask: own, first, signal })
  // All are awaited from the start: the sandbox may fail them all at once, and one that nobody awaits ends the worker.
  await Promise.all([made, ...uploaded])
  if (task.healthcheck !== undefined) await checkHealth(preparation, task.healthcheck)
  if (agent.layerScript !== undefined && !preparation.layers) await install(preparation, agent.layerScript)
  const numbers = await made
  const free = await freeUsers(
    preparation,
    names.filter((_, index) => index % 2 === 0 && !isRoot(numbers[index])),
  )
  const users = parts.map((_, index) => ({
    ...usersOf(numbers[2 * index], numbers[2 * index + 1]),
    ...(free.has(names[2 * index] ?? '') ? { isFree: true } : {}),
  }))
  return task.steps.length > 0 ? { stepUsers: users } : { users: users[0] ?? {} }
}

function isRoot(number: number | undefined): boolean {
  return number === undefined || number === 0
}

/** Those agents without root who are not kept from being it. */
async function freeUsers({ runner, scope, signal }: Preparation, agents: readonly string[]): Promise<Set<string>> {
  const users = [...new Set(agents)]
  const looks = users.map(async (user, call) => {
    const id = { scope, phase: 0, batch: 3, call, part: 0 }
    const request = { id, script: agentFreedomScript, user, cwd: '/', timeoutMs: agentFreedomTimeoutMs }
    const { stdout } = await runner.exec(request, { signal })
    return isBoundUser(stdout.head.toString()) ? [] : [user]
  })
  return new Set((await Promise.all(looks)).flat())
}

function usersOf(agent: number | undefined, verifier: number | undefined): NonNullable<StoredOpening['users']> {
  return { ...(agent === undefined ? {} : { agent }), ...(verifier === undefined ? {} : { verifier }) }
}

/** @returns the numbers of the users, where they are known */
async function makeLogs(
  { runner, scope, signal }: Preparation,
  users: readonly string[],
): Promise<(number | undefined)[]> {
  const folders = '/logs/agent /logs/verifier /logs/artifacts'
  const id = { scope, phase: 0, batch: 0, call: 0, part: 0 }
  const numbers = users.length === 0 ? '' : userNumbersScript(users)
  const script = `mkdir -p ${folders} && chmod 777 ${folders} || exit\n${numbers}`
  const made = await runner.exec({ id, script, user: 'root', cwd: '/', timeoutMs: 60_000 }, { signal })
  assertDone(made, 'making /logs', 'setup-failed')
  return parseUserNumbers(made.stdout.head.toString())
}

async function checkHealth(
  { runner, store, place, scope, workdir, signal }: Preparation,
  check: Healthcheck,
): Promise<void> {
  const id = { scope, phase: 0, batch: 2, call: 0, part: 0 }
  const at = { runner, store, place: { ...place, phase: 0 }, id, cwd: workdir, signal }
  await awaitHealthy(check, { ...at, field: 'environment.healthcheck' })
}

async function install({ runner, scope, signal, options }: Preparation, script: string): Promise<void> {
  const id = { scope, phase: 0, batch: 1, call: 0, part: 0 }
  const timeoutMs = agentSetupTimeoutMs(options)
  const result = await runner.exec({ id, script, user: 'root', timeoutMs }, { signal })
  assertDone(result, 'the agent’s installation', 'setup-failed')
}
