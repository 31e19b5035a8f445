import type { Store } from '../../store/store.ts'

/**
 * What a job has got done: sandboxes opened, turns finished, grades, results. It only grows, so it is a clock that all
 * runs of a taskset share, however slow the machine is.
 */
export async function countMilestones(store: Store, job: string): Promise<number> {
  const keys = await store.list(`jobs/${job}/rollouts/`)
  return keys.filter((key) => /\/(opened|grade|result)\.json$|\/turns\/\d+\.result\.json$/.test(key)).length
}
