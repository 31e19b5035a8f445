/** Names that are derived, never random (design §4). Imported by workflows, so it imports nothing. */

/** Rollout name inside a job: `<task>.<agent label>.<attempt>`. */
export function rolloutName(rollout: { task: string; agent: string; attempt: number }): string {
  return `${rollout.task}.${rollout.agent}.${rollout.attempt}`
}

/** The parts of a `rolloutName`: none of them holds a dot. */
export function parseRolloutName(name: string): { task: string; agent: string; attempt: number } {
  const [task = '', agent = '', attempt = ''] = name.split('.')
  return { task, agent, attempt: Number(attempt) }
}

/** A rollout's id, which is also its workflow id: `<job>.<task>.<agent label>.<attempt>`. */
export function rolloutId(job: string, name: string): string {
  return `${job}.${name}`
}

export function shardWorkflowId(job: string, shard: number): string {
  return `${job}.shard-${shard}`
}

/** A pool's workflow id. Job ids hold no dot, so that it is no job's. */
export function poolWorkflowId(pool: string, profile: string): string {
  return `pool.${pool}.${profile}`
}

/** Who works in a slot with a user of its own: numbers that no distribution gives to anybody. */
export function slotUser(slot: number): { name: string; uid: number } {
  return { name: `rollcall-slot-${slot}`, uid: 61_000 + slot }
}

/** A folder that is the slot's own; only root can put another in its place. */
export function slotWorkspace(workspaceBase: string, slot: number): string {
  return `${workspaceBase}/slot-${slot}`
}

/** The runner's scope of all execs in a slot. */
export function slotScope(slot: number): string {
  return `slot${slot}`
}

/** The queue of a job whose own worker serves it. */
export function jobTaskQueue(job: string): string {
  return `rollcall-${job}`
}

/** The queue that `rollcall worker` polls, for jobs without a worker of their own. */
export const sharedTaskQueue = 'rollcall'

/** Where all hosts that have a provider ask for rollouts to place. */
export function providerTaskQueue(provider: string): string {
  return `${sharedTaskQueue}.${provider}`
}

/** The reach queue of a place: where the workers that reach it ask for everything that concerns a sandbox there. */
export function reachTaskQueue(provider: string, place: string): string {
  return `${sharedTaskQueue}.${provider}.${place}`
}

/** What a schedule's name must look like: with a time behind it, it becomes a job id. */
export const scheduleNamePattern = /^[a-z0-9][a-z0-9_-]{0,59}$/i

/** The job of a schedule that was due at that time (ISO 8601): the same start, delivered twice, makes one job. */
export function scheduledJobId(schedule: string, scheduledAt: string): string {
  return `${schedule}-${scheduledAt
    .replaceAll(/[-:]|\.\d+/g, '')
    .replace('T', '-')
    .replace('Z', '')}`
}

/** What a job id must look like: it becomes a workflow id, a folder and a label. */
export const jobIdPattern = /^[a-z0-9][a-z0-9_-]{0,99}$/i

/** What a task's name must look like inside ids and folders. */
export const taskNamePattern = /^[a-z0-9][a-z0-9_-]{0,79}$/i

/** Search attributes, all typed; registered by the client where allowed. */
export const searchAttributeNames = {
  job: 'RollcallJob',
  task: 'RollcallTask',
  agent: 'RollcallAgent',
  provider: 'RollcallProvider',
  state: 'RollcallState',
  reward: 'RollcallReward',
  schedule: 'RollcallSchedule',
  verdict: 'RollcallVerdict',
} as const

/** `1 task`, `2 tasks`: a number of things as people read it. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** Where a rollout is, as a person sees it. */
export type RolloutPhase = 'open' | 'turns' | 'grade' | 'record' | 'release' | 'done'
