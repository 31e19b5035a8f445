import { join } from 'node:path'
import { failureKinds } from '../protocol/failure.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { outputKey, turnResultKey } from '../store/keys.ts'
import type { StoredTurnResult } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'
import { exportObject, replaceFile } from './export-files.ts'
import { formatReward, mainReward } from './summary.ts'

/** The text files that Harbor's scripts look for. Everything in them is also in the JSON beside them. */

/** `<job>/job.log`: beginning and end of every rollout, in time's order. */
export function jobLogText(results: readonly RolloutResult[]): string {
  const lines = results.flatMap((result) => [
    `${result.startedAt} ${result.name} started`,
    `${result.finishedAt} ${result.name} ${endingOf(result)}`,
  ])
  return linesText(lines.toSorted())
}

/** `<rollout>/trial.log` */
export function trialLogText(result: RolloutResult): string {
  const { sandbox, incarnations, agentEnd, turns, gradingAttempts } = result
  const phases = Object.entries(result.phases).flatMap(([phase, { startedAt, finishedAt }]) => [
    `${startedAt} ${phase} started`,
    `${finishedAt} ${phase} ended`,
  ])
  return linesText([
    `${result.startedAt} ${result.name} started`,
    ...phases.toSorted(),
    ...(sandbox === undefined
      ? []
      : [
          `${result.finishedAt} sandbox ${sandbox.name} (${sandbox.provider} ${sandbox.place}), number ${incarnations}`,
        ]),
    `${result.finishedAt} agent took ${turns} turns and ended: ${agentEnd ?? 'not by itself'}`,
    `${result.finishedAt} grading attempts: ${gradingAttempts}`,
    `${result.finishedAt} ${endingOf(result)}`,
  ])
}

/** `<rollout>/exception.txt`, or undefined where nothing went wrong. */
export function exceptionText({ failure }: RolloutResult): string | undefined {
  if (failure === undefined) return undefined
  const { actor, meaning } = failureKinds[failure.code]
  return linesText([`${failure.code}: ${failure.message}`, '', meaning, `Who must act: ${actor}`])
}

/** `agent/oracle.txt` and `agent/exit-code.txt`, of a solution that ran as a script. Made whole or not at all. */
export async function exportOracleFiles(
  { result, options, folder }: { result: RolloutResult; options: JobOptions; folder: string },
  store: Store,
): Promise<void> {
  if (options.agents.find(({ label }) => label === result.agent)?.kind !== 'oracle') return
  const at = { job: result.job, rollout: result.name, incarnation: result.incarnations }
  const turn = await getJson<StoredTurnResult>(store, turnResultKey({ ...at, phase: 1, turn: 0 }))
  const exitCode = turn?.results[0]?.exitCode
  if (exitCode === undefined) return
  const path = join(folder, 'agent/oracle.txt')
  const hasOutput = await exportObject(store, outputKey({ ...at, exec: '1-0-0-0', stream: 'stdout' }), path)
  if (!hasOutput) await replaceFile(path, '')
  await replaceFile(join(folder, 'agent/exit-code.txt'), `${exitCode}\n`)
}

function endingOf({ state, rewards, failure }: RolloutResult): string {
  const reward = rewards === undefined ? '' : `, reward ${formatReward(mainReward(rewards))}`
  const why = failure === undefined ? '' : `, ${failure.code}: ${failure.message}`
  return `${state}${reward}${why}`.replaceAll(/\s*\n\s*/g, ' ')
}

function linesText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
