import type { OpenedRollout, RolloutRef } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import { rolloutId } from '../protocol/names.ts'
import { expiryMarginMs } from '../protocol/sandbox-life.ts'
import type { Sandbox } from '../providers/contract/provider.ts'
import { specHash } from '../providers/contract/spec-hash.ts'
import { uploadTree } from '../runner/files.ts'
import type { Runner } from '../runner/runner.ts'
import { openedKey, resultKey } from '../store/keys.ts'
import { packTree } from '../tasks/task-tree.ts'
import { assertDone } from './assert-done.ts'
import { agentTask } from './agent-task.ts'
import { effectiveRuntime } from './effective-runtime.ts'
import { maskingRunner } from './masking-runner.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import type { StoredOpening } from '../store/records.ts'
import { assertPlace } from './sandboxes.ts'
import type { SandboxAttachments } from './sandboxes.ts'
import { execScope, sandboxName } from './sandbox-name.ts'
import type { ActivityServices } from './services.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'

const installTimeoutMs = 30 * 60_000

export interface OpenDependencies {
  readonly context: JobContext
  readonly rollout: RolloutContext
  readonly services: ActivityServices
  readonly attachments: SandboxAttachments
  readonly signal: AbortSignal
  readonly onProgress: (line: string) => void
}

/**
 * Makes the rollout's sandbox, waits until it is ready and prepares it. Safe to run twice: the sandbox is adopted by its
 * derived name, the owner nonce and the spec hash; every command has its id. An attempt that wakes up after another has
 * opened, or after the rollout has ended, makes nothing.
 */
export async function openRollout(input: RolloutRef, dependencies: OpenDependencies): Promise<OpenedRollout> {
  const { context, rollout, attachments, services, signal } = dependencies
  await assertNotOver(input, context)
  const known = await getJson<StoredOpening>(context.store, openedKey(input))
  if (known !== undefined) {
    services.room.taken(known.opened.lease.sandbox)
    return known.opened
  }
  const provider = await context.provider()
  const place = await provider.place()
  if (input.place !== undefined) await assertPlace(provider, input.place)
  const sandbox = await createSandbox(input, dependencies)
  services.room.taken(sandbox.name)
  const spec = specHash(rollout.spec)
  const lease = { provider: provider.name, place, sandbox: sandbox.name, incarnation: input.incarnation, spec }
  await attachments.use({ provider, lease }, (runner) =>
    prepareSandbox({
      runner: maskingRunner(runner, rollout.host.mask),
      rollout,
      workdir: sandbox.workdir,
      scope: scopeOf(input),
      signal,
      layers: provider.capabilities.imageLayers,
    }),
  )
  const opened: OpenedRollout = {
    lease,
    agentTimeoutMs: rollout.task.agent.timeoutMs ?? context.options.limits.agentTimeoutMs,
    verifierTimeoutMs: rollout.task.verifier.timeoutMs,
  }
  const opening: StoredOpening = {
    opened,
    image: sandbox.image,
    runtime: effectiveRuntime(rollout.spec),
    workdir: sandbox.workdir,
    execs: [],
  }
  return (await putJsonOnce(context.store, openedKey(input), opening)).opened
}

/** The result is stored before the sandbox is released: what is made after it would be nobody's. */
async function assertNotOver({ job, rollout }: RolloutRef, { store }: JobContext): Promise<void> {
  if ((await store.get(resultKey(job, rollout))) === undefined) return
  throw new RollcallError('cancelled', `Rollout ${rollout} has ended: no sandbox is made for it any more`)
}

function scopeOf(input: RolloutRef): string {
  return execScope(rolloutId(input.job, input.rollout))
}

async function createSandbox(input: RolloutRef, dependencies: OpenDependencies): Promise<Sandbox> {
  const { context, rollout, services, signal, onProgress } = dependencies
  const { spec } = rollout
  const workflow = rolloutId(input.job, input.rollout)
  const { namespace } = services
  const provider = await context.provider()
  return await provider.createOrAdopt({
    name: sandboxName({ namespace, rolloutId: workflow, role: 'main', incarnation: input.incarnation }),
    spec,
    ownership: {
      namespace,
      job: input.job,
      workflow,
      role: 'main',
      incarnation: input.incarnation,
      owner: input.owner,
      spec: specHash(spec),
      keep: context.options.keep,
      expires: Date.now() + spec.limits.lifetimeMs + expiryMarginMs,
    },
    secrets: rollout.host.secrets,
    onProgress,
    signal,
  })
}

interface Preparation {
  readonly runner: Runner
  readonly rollout: Pick<RolloutContext, 'task' | 'agent'>
  readonly workdir: string
  readonly scope: string
  readonly signal: AbortSignal
  /** The provider has already put the agent's installation into the image. */
  readonly layers: boolean
}

/** Phase 0: the log folders, what the agent asked for, and its installation where the image does not hold it yet. Exported for its test. */
export async function prepareSandbox(preparation: Preparation): Promise<void> {
  const { runner, rollout, workdir, scope, signal } = preparation
  const { task, agent } = rollout
  const folders = '/logs/agent /logs/verifier /logs/artifacts'
  const made = runner.exec(
    {
      id: { scope, phase: 0, batch: 0, call: 0, part: 0 },
      script: `mkdir -p ${folders} && chmod 777 ${folders}`,
      user: 'root',
      cwd: '/',
      timeoutMs: 60_000,
    },
    { signal },
  )
  const uploads = agent.uploads?.(agentTask(task, workdir)) ?? []
  const uploaded = uploads.map(async ({ from, to }, index) => {
    const id = { scope, phase: 0, batch: 0, call: index + 1, part: 0 }
    await uploadTree(runner, { id, tar: await packTree(task, from), directory: to }, { signal })
  })
  // All are awaited from the start: the sandbox may fail them all at once, and one that nobody awaits ends the worker.
  await Promise.all([made.then((result) => assertDone(result, 'making /logs', 'setup-failed')), ...uploaded])
  if (agent.layerScript !== undefined && !preparation.layers) await install(preparation, agent.layerScript)
}

async function install({ runner, scope, signal }: Preparation, script: string): Promise<void> {
  const id = { scope, phase: 0, batch: 1, call: 0, part: 0 }
  const result = await runner.exec({ id, script, user: 'root', timeoutMs: installTimeoutMs }, { signal })
  assertDone(result, 'the agent’s installation', 'setup-failed')
}
