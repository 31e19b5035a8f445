import { readdir, stat } from 'node:fs/promises'
import { jobKey, planKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { hasCode } from './export-files.ts'
import { readSummary } from './read-job.ts'

export interface ListedJob {
  readonly job: string
  readonly finished: boolean
  /** It was accepted: its rollouts are known. */
  readonly planned: boolean
  readonly mean?: number
  readonly graded?: number
  readonly failed?: number
  readonly cancelled?: number
}

/** The jobs of a store that were started last, latest first. */
export async function listLatestJobs(store: Store, count: number): Promise<ListedJob[]> {
  const jobs = await (store.localPath ? jobsByStart(store.localPath('jobs')) : jobsByName(store))
  return await Promise.all(jobs.slice(0, count).map((job) => listedJob(store, job)))
}

async function listedJob(store: Store, job: string): Promise<ListedJob> {
  const summary = await readSummary(store, job)
  if (!summary) return { job, finished: false, planned: (await store.get(planKey(job))) !== undefined }
  const { mean, graded, failed, cancelled } = summary
  return {
    job,
    finished: true,
    planned: summary.rollouts.length > 0,
    ...(mean === undefined ? {} : { mean }),
    graded,
    failed,
    cancelled,
  }
}

/** A folder per job, and its `job.json` written when it was started: no need to read the names of all objects. */
async function jobsByStart(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  const started = await Promise.all(names.map((name) => startOf(folder, name)))
  return started
    .filter((job) => job !== undefined)
    .toSorted((a, b) => b.startedMs - a.startedMs)
    .map((job) => job.name)
}

async function startOf(folder: string, name: string): Promise<{ name: string; startedMs: number } | undefined> {
  const options = await stat(`${folder}/${name}/job.json`).catch(() => undefined)
  return options && { name, startedMs: options.mtimeMs }
}

/** Default ids end with their time of start; names are all that is known of objects elsewhere. */
async function jobsByName(store: Store): Promise<string[]> {
  const keys = await store.list('jobs/')
  const jobs = keys.map((key) => key.split('/')[1]).filter((job) => job !== undefined)
  const started = new Set(keys)
  return [...new Set(jobs)].filter((job) => started.has(jobKey(job))).toReversed()
}
