import type { JobSummary, SummaryRollout } from '../protocol/grade.ts'
import { counted } from '../protocol/names.ts'
import { formatReward, mainReward } from '../results/summary.ts'
import { escapeControls } from '../results/terminal-text.ts'
import { hasSolution } from '../tasks/task-parts.ts'
import type { Task } from '../tasks/task.ts'

export interface TaskSoundness {
  readonly task: string
  /** Empty for a sound task. */
  readonly problems: readonly string[]
}

const expectedRewards = { oracle: 1, nop: 0 } as const

/** Which tasks tell good from bad: those where oracle gets 1 and nop gets 0. */
export function judgeSoundness(summary: JobSummary): TaskSoundness[] {
  const tasks = Map.groupBy(summary.rollouts, (rollout) => rollout.task)
  return [...tasks].map(([task, rollouts]) => ({ task, problems: problemsOf(rollouts) }))
}

/** Tasks that cannot be shown to be sound, since the oracle has nothing to play. */
export function unsolvedTasks(tasks: readonly Task[]): TaskSoundness[] {
  const problem =
    'it has no solution (solution/solve.sh or solution/turns.yaml, for each of its steps), and was not run'
  return tasks.filter((task) => !hasSolution(task)).map(({ name }) => ({ task: name, problems: [problem] }))
}

/** Every task with what it is; the sentence that counts comes last, where it is seen. */
export function formatSoundness(tasks: readonly TaskSoundness[]): string {
  const unsound = tasks.filter((task) => task.problems.length > 0)
  const lines = tasks.map(({ task, problems }) => {
    const verdict = problems.length === 0 ? 'sound' : `not sound: ${problems.map(escapeControls).join('; ')}`
    return `  ${escapeControls(task)}: ${verdict}`
  })
  const verb = tasks.length === 1 ? 'is' : 'are'
  const sound = `${tasks.length - unsound.length} of ${counted(tasks.length, 'task')} ${verb} sound: oracle gets 1 and nop gets 0.`
  return [...lines, sound].join('\n')
}

function problemsOf(rollouts: readonly SummaryRollout[]): string[] {
  return Object.entries(expectedRewards).flatMap(([agent, expected]) => {
    const rollout = rollouts.find((one) => one.agent === agent)
    if (rollout?.failure) return [`${agent} ${rollout.state} with ${rollout.failure.code}: ${rollout.failure.message}`]
    const reward = rollout?.rewards && mainReward(rollout.rewards)
    return reward === expected ? [] : [`${agent} gets ${formatReward(reward)} instead of ${expected}`]
  })
}
