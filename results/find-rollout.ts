import { RollcallError } from '../protocol/failure.ts'
import { rolloutId } from '../protocol/names.ts'
import { openedKey, rolloutPrefix } from '../store/keys.ts'
import { getJson } from '../store/stored-json.ts'
import type { StoredOpening } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { listLatestJobs } from './list-jobs.ts'
import { findJobOptions, readPlan } from './read-job.ts'

/** A rollout that is named without its job is looked for in this many jobs, the latest ones. */
const jobsSearched = 20
const nearShown = 5

export interface FoundRollout {
  readonly job: string
  /** `<task>.<agent label>.<attempt>` */
  readonly rollout: string
}

/**
 * The rollout that a person means: by its id, by the beginning or end of its name within the job that stands before it,
 * or, without a job, within one of the latest jobs.
 * @throws RollcallError `configuration-invalid` naming those that come near, when there is none or more than one
 */
export async function findRollout(store: Store, text: string): Promise<FoundRollout> {
  const [first = '', ...rest] = text.split('.')
  const isJob = (await findJobOptions(store, first).catch(() => undefined)) !== undefined
  const name = isJob ? rest.join('.') : text
  const jobs = isJob ? [first] : (await listLatestJobs(store, jobsSearched)).map(({ job }) => job)
  const all = (await Promise.all(jobs.map((job) => rolloutsOf(store, job)))).flat()
  const exact = all.filter(({ rollout }) => rollout === name)
  const matching = exact.length > 0 ? exact : all.filter(({ rollout }) => isPart(rollout, name))
  const [found] = matching
  if (found !== undefined && matching.length === 1) return found
  throw new RollcallError('configuration-invalid', refusal(text, { matching, all, store, isJob }))
}

async function rolloutsOf(store: Store, job: string): Promise<FoundRollout[]> {
  return ((await readPlan(store, job)) ?? []).map(({ name }) => ({ job, rollout: name }))
}

function isPart(rollout: string, text: string): boolean {
  return rollout.startsWith(text) || rollout.endsWith(text)
}

function refusal(
  text: string,
  { matching, all, store, isJob }: { matching: FoundRollout[]; all: FoundRollout[]; store: Store; isJob: boolean },
): string {
  const subject = `Rollout is ${JSON.stringify(text)}`
  if (matching.length > 1)
    return `${subject}, which names ${matching.length}: expected one, such as ${listed(matching)}`
  if (isJob && all.length === 0) return `${subject}: its job has no rollouts yet; rollcall status says where it is`
  const near = [...all].toSorted((a, b) => likeness(idOf(b), text) - likeness(idOf(a), text))
  const hint = near.length === 0 ? 'rollcall status lists the jobs' : `the nearest are ${listed(near)}`
  return `${subject}, which the store ${store.url} does not know: expected JOB.TASK.AGENT.ATTEMPT or a part of it; ${hint}`
}

function listed(rollouts: readonly FoundRollout[]): string {
  const shown = rollouts.slice(0, nearShown).map(idOf).join(', ')
  return rollouts.length > nearShown ? `${shown}, …` : shown
}

function idOf({ job, rollout }: FoundRollout): string {
  return rolloutId(job, rollout)
}

/** How many pairs of letters two names share, of all they have: 0 to 1. */
function likeness(a: string, b: string): number {
  const [ours, theirs] = [pairs(a), pairs(b)]
  return (2 * [...ours].filter((pair) => theirs.has(pair)).length) / Math.max(1, ours.size + theirs.size)
}

function pairs(text: string): Set<string> {
  return new Set(Array.from({ length: Math.max(0, text.length - 1) }, (_, at) => text.slice(at, at + 2)))
}

/** The opening of a rollout's latest sandbox; undefined before it had any. */
export async function readLatestOpening(
  store: Store,
  { job, rollout }: FoundRollout,
): Promise<StoredOpening | undefined> {
  const prefix = rolloutPrefix(job, rollout)
  const incarnations = (await store.list(prefix)).flatMap((key) => {
    const [, incarnation] = /^i(\d+)\/opened\.json$/.exec(key.slice(prefix.length)) ?? []
    return incarnation === undefined ? [] : [Number(incarnation)]
  })
  if (incarnations.length === 0) return undefined
  return await getJson(store, openedKey({ job, rollout, incarnation: Math.max(...incarnations) }))
}
