import { posix } from 'node:path'
import type { CollectedArtifacts, PartInput } from '../protocol/activities.ts'
import type { ArtifactRecord } from '../protocol/grade.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { Runner } from '../runner/runner.ts'
import { collectedKey, openedKey } from '../store/keys.ts'
import type { StoredCollection, StoredOpening } from '../store/records.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { partOf } from '../tasks/task-parts.ts'
import type { TaskPart } from '../tasks/task-parts.ts'
import { ArtifactDownloads, artifactsFolder } from './artifact-downloads.ts'
import type { WantedArtifact } from './artifact-downloads.ts'
import { ExecLog } from './exec-log.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import { phaseScope, scopeOf } from './upload-for-agent.ts'

export interface CollectDependencies {
  readonly context: Pick<JobContext, 'store'>
  readonly rollout: Pick<RolloutContext, 'task'> & Partial<Pick<RolloutContext, 'agent'>>
  readonly runner: Runner
  readonly signal: AbortSignal
}

/**
 * Collects what a part of the task has left: ends every command of the agent that still runs, lets the verifier's
 * commands make evidence, and stores the artifacts. Safe to run twice: by exec ids; every object is `putOnce`, what was
 * found last.
 */
export async function collectArtifacts(
  input: PartInput,
  dependencies: CollectDependencies,
): Promise<CollectedArtifacts> {
  const { context, runner } = dependencies
  const known = await getJson<StoredCollection>(context.store, collectedKey(input))
  if (known !== undefined) return { collected: known.artifacts.length }
  const scope = scopeOf(input)
  runner.acknowledge({ scope, phase: input.phase, batch: 0 })
  await runner.stop({ scope, beforePhase: input.phase })
  const execs = await runCollectCommands(input, dependencies)
  const { artifacts } = await storeArtifacts(input, { ...dependencies, execs })
  return { collected: artifacts.length }
}

/** Their exit codes are recorded and nothing more: what is not there is for the tests to judge. */
async function runCollectCommands(input: PartInput, at: CollectDependencies): Promise<StoredCollection['execs']> {
  const { task, agent } = at.rollout
  // What they once made is among the artifacts; here they would find nothing.
  if (agent?.restores !== undefined) return []
  const opening = await openingOf(input, at)
  const log = new ExecLog(input, at.context.store)
  const scope = phaseScope(input)
  for (const [call, { command, timeoutMs, user = 'root' }] of partOf(task, input.step).verifier.collect.entries()) {
    const id = { scope, phase: input.phase, batch: 0, call, part: 0 }
    const request = { id, script: command, shell: 'bash' as const, cwd: opening.workdir, user, timeoutMs }
    const { outcome } = await log.exec(at.runner, request, at.signal)
    if (outcome.type === 'lost') {
      throw new RollcallError(
        'grader-failed',
        `What became of verifier.collect[${call}] is unknown (${outcome.reason})`,
      )
    }
  }
  await log.flush()
  return log.records
}

/**
 * Stores the artifacts of one part and a list of them, once.
 * @param at.onAnswer called when the sandbox has given its first answer
 */
export async function storeArtifacts(
  input: PartInput,
  at: CollectDependencies & { execs?: StoredCollection['execs']; onAnswer?: () => void },
): Promise<StoredCollection> {
  const { store } = at.context
  const { workdir } = await openingOf(input, at)
  const wanted = wantedArtifacts(partOf(at.rollout.task, input.step), workdir)
  const artifacts = await new ArtifactDownloads(input, { ...at, store }).run(wanted)
  const collection = { artifacts: artifacts.filter(isWorthKeeping), execs: at.execs ?? [] }
  return await putJsonOnce<StoredCollection>(store, collectedKey(input), collection)
}

/** That a task left nothing in the folder it did not mention is not worth a word. */
function isWorthKeeping({ source, status }: ArtifactRecord): boolean {
  return source !== artifactsFolder || status !== 'missing'
}

/** The folder for artifacts first, unless the task says how it wants it; then those that the task names. */
export function wantedArtifacts(part: Pick<TaskPart, 'artifacts'>, workdir: string): WantedArtifact[] {
  const named = part.artifacts.map(({ source, destination, exclude }) => {
    const absolute = posix.resolve(workdir, source)
    return { source: absolute, destination: withoutSlashes(destination ?? absolute) || 'root', exclude }
  })
  if (named.some(({ source }) => source === artifactsFolder)) return named
  return [{ source: artifactsFolder, destination: withoutSlashes(artifactsFolder), exclude: [] }, ...named]
}

function withoutSlashes(path: string): string {
  return posix.normalize(path).replaceAll(/^\/+|\/+$/g, '')
}

async function openingOf(input: PartInput, { context }: CollectDependencies): Promise<StoredOpening> {
  const opening = await getJson<StoredOpening>(context.store, openedKey(input))
  if (opening === undefined) throw new RollcallError('internal', `${input.rollout} has no opening in the store`)
  return opening
}
