import type { Turn } from '../agents/agent.ts'
import type { PartInput } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ArtifactRecord, RolloutResult } from '../protocol/grade.ts'
import type { Runner } from '../runner/runner.ts'
import { resultKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'
import { partOf } from '../tasks/task-parts.ts'
import { putArtifacts } from './bring-artifacts.ts'
import type { RolloutContext } from './job-context.ts'
import { readEarlierSteps } from './transcript.ts'
import { scopeOf } from './upload-for-agent.ts'

interface Restoring {
  readonly store: Store
  readonly rollout: Pick<RolloutContext, 'task' | 'agent'>
}

/**
 * Where the agent stands for one of an earlier job: puts the artifacts that the same rollout of that job left (in this
 * step) at their original paths. For every other agent it does nothing. Safe to run twice: by exec ids.
 * @throws RollcallError `artifacts-missing` where something that was to be kept is not in the store
 */
export async function restoreArtifacts(
  input: PartInput,
  at: Restoring & { runner: Runner; signal: AbortSignal },
): Promise<void> {
  const { agent, task } = at.rollout
  if (agent.restores === undefined) return
  const artifacts = artifactsOf(await earlierResult(input, at.store, agent.restores), input)
  const needsNone = task.judge !== undefined && task.judge.files.length === 0
  const problem = needsNone ? undefined : whyIncomplete(artifacts)
  if (problem !== undefined) {
    const { step } = partOf(task, input.step)
    const where = step === undefined ? '' : `in step ${step} `
    throw new RollcallError('artifacts-missing', `Rollout ${input.rollout} of job ${agent.restores} ${where}${problem}`)
  }
  const first = { scope: scopeOf(input), phase: input.phase, batch: 0, call: 0, part: 0 }
  await putArtifacts(artifacts, { ...at, first })
}

/** The turns that are graded: the agent's own, or those of the rollout that it stands for. */
export async function gradedTurns(input: PartInput, { store, rollout }: Restoring): Promise<Turn[]> {
  const { restores } = rollout.agent
  if (restores === undefined) return await readEarlierSteps(store, input)
  const { incarnations: incarnation, steps } = await earlierResult(input, store, restores)
  const phase = input.step === undefined ? Infinity : (steps?.[input.step]?.lastPhase ?? 0)
  return await readEarlierSteps(store, { job: restores, rollout: input.rollout, incarnation, phase })
}

async function earlierResult(input: PartInput, store: Store, job: string): Promise<RolloutResult> {
  const result = await getJson<RolloutResult>(store, resultKey(job, input.rollout))
  if (result !== undefined) return result
  throw new RollcallError('artifacts-missing', `The store has no result of rollout ${input.rollout} of job ${job}`)
}

function artifactsOf({ steps, artifacts }: RolloutResult, { step }: PartInput): readonly ArtifactRecord[] {
  return (step === undefined ? artifacts : steps?.[step]?.artifacts) ?? []
}

/** An artifact that the agent did not leave is a finding; one that could not be kept whole is none. */
function whyIncomplete(artifacts: readonly ArtifactRecord[]): string | undefined {
  const broken = artifacts.filter(({ status }) => status === 'partial' || status === 'skipped')
  if (broken.length > 0) {
    const named = broken.map(({ source, reason = 'it is not whole' }) => `${source} (${reason})`)
    return `kept not all that it left: ${named.join(', ')}`
  }
  if (artifacts.length > 0) return undefined
  return 'kept no artifacts: only what lies in /logs/artifacts or is named in artifacts of task.toml can be graded again'
}
