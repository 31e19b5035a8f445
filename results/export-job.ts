import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import pLimit from 'p-limit'
import { RollcallError } from '../protocol/failure.ts'
import { lockKey, proofKey, rolloutPrefix, summaryKey } from '../store/keys.ts'
import { unpackArtifacts } from './export-artifacts.ts'
import { exportObject, readTextFile, removeStaleFiles, replaceFile, writing } from './export-files.ts'
import { exportPaths, stepFolder } from './export-paths.ts'
import { TrajectoryReader } from './export-trajectory.ts'
import { harborJobConfig, harborJobResult, harborTrialConfig, harborTrialResult } from './harbor-result.ts'
import { harborJobLock, harborTrialLock } from './harbor-lock.ts'
import { exceptionText, exportOracleFiles, jobLogText, trialLogText } from './harbor-logs.ts'
import type { JsonObject } from './harbor-result.ts'
import { readJobOptions, readPlan, readResults, readSummary } from './read-job.ts'
import type { Rewards, RolloutResult, StepResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { getJson } from '../store/stored-json.ts'
import type { Store } from '../store/store.ts'

/** How many rollouts are exported at the same time. */
const exportConcurrency = 4

export interface ExportOptions {
  readonly store: Store
  readonly job: string
  /** Made if absent; the job's folder is `<jobsDir>/<job>`. */
  readonly jobsDir: string
  /**
   * Only these rollouts, by name, and the job's `config.json`: for exporting while a job runs. Those that have not
   * ended are passed over. Default: all, and the files about the whole job.
   */
  readonly rollouts?: readonly string[]
}

/**
 * Exports a job from the store in Harbor's layout. Every file appears whole or not at all, a rollout's `result.json`
 * after all its others; running it again, also by two processes at a time, repairs and completes.
 * @returns the job's folder
 * @throws RollcallError `configuration-invalid` for an unknown job, a folder that holds another job, and one that cannot
 *   be written
 */
export async function exportJob(options: ExportOptions): Promise<string> {
  const folder = resolve(options.jobsDir, options.job)
  return await writing(folder, () => exportInto(folder, options))
}

async function exportInto(folder: string, options: ExportOptions): Promise<string> {
  const { store, job } = options
  const jobOptions = await readJobOptions(store, job)
  await exportConfig(folder, job, jobOptions)
  const planned = (await readPlan(store, job)) ?? []
  const names = options.rollouts ?? planned.map((rollout) => rollout.name)
  const results = await readResults(store, job, names)
  const limit = pLimit(exportConcurrency)
  const shared = { store, folder, options: jobOptions, trajectories: new TrajectoryReader(store, jobOptions) }
  const exporting = results.map((result) => limit(() => exportRollout({ ...shared, result })))
  // Where one fails, the others finish: a process that ends at once leaves what they have half written.
  await Promise.allSettled(exporting)
  await Promise.all(exporting)
  if (!options.rollouts)
    await exportJobFiles({ store, folder, job, options: jobOptions, results, total: planned.length })
  return folder
}

async function exportConfig(folder: string, job: string, options: JobOptions): Promise<void> {
  const path = join(folder, 'config.json')
  const config = jsonText(harborJobConfig(job, options))
  const present = await readTextFile(path)
  if (present === config) return
  if (present !== undefined && !isDeepStrictEqual(parsedJson(present), JSON.parse(config))) {
    throw new RollcallError(
      'configuration-invalid',
      `Folder ${folder} already holds a job of this id with other options: ` +
        `expected an empty or matching one; choose another --jobs-dir and run rollcall results ${job} --jobs-dir DIR`,
    )
  }
  await replaceFile(path, config)
}

interface RolloutExport {
  readonly store: Store
  /** The job's folder. */
  readonly folder: string
  readonly result: RolloutResult
  readonly options: JobOptions
  readonly trajectories: TrajectoryReader
}

async function exportRollout({ store, folder, result, options, trajectories }: RolloutExport): Promise<void> {
  const rolloutFolder = join(folder, result.name)
  const resultPath = join(rolloutFolder, 'result.json')
  const text = jsonText(harborTrialResult(result, { uri: pathToFileURL(rolloutFolder).href, options }))
  if ((await readTextFile(resultPath)) === text) return
  await removeStaleFiles(rolloutFolder)
  const prefix = rolloutPrefix(result.job, result.name)
  const keys = await store.list(prefix)
  const paths = exportPaths(
    keys.map((key) => key.slice(prefix.length)),
    result,
  )
  for (const [key, path] of paths) await exportObject(store, prefix + key, join(rolloutFolder, path))
  for (const part of partsOf(result)) await exportPart(part, { store, rolloutFolder, paths: new Set(paths.values()) })
  await replaceFile(join(rolloutFolder, 'agent/trajectory.json'), jsonText(await trajectories.read(result)))
  await exportHarborFiles({ store, folder: rolloutFolder, result, options })
  await replaceFile(resultPath, text)
}

/** What was graded: the rollout, or each of its steps, with the folder that is its own. */
interface Part extends Pick<StepResult, 'rewards' | 'artifacts'> {
  readonly folder: string
}

function partsOf(result: RolloutResult): Part[] {
  if (result.steps === undefined) return [{ ...result, folder: '' }]
  return result.steps.map((step) => ({ ...step, folder: stepFolder(step) }))
}

async function exportPart(
  { rewards, artifacts = [], folder }: Part,
  { store, rolloutFolder, paths }: { store: Store; rolloutFolder: string; paths: ReadonlySet<string> },
): Promise<void> {
  const rewardFiles = ['reward.txt', 'reward.json'].map((name) => `${folder}verifier/${name}`)
  if (rewards && !rewardFiles.some((path) => paths.has(path))) await writeReward(join(rolloutFolder, folder), rewards)
  const open = (key: string) => store.open(key)
  await unpackArtifacts(artifacts, { open, folder: join(rolloutFolder, folder, 'artifacts') })
}

/** What Harbor's viewer and scripts look for beside the rollout's own objects. */
async function exportHarborFiles({
  store,
  folder,
  result,
  options,
}: Omit<RolloutExport, 'trajectories'>): Promise<void> {
  await exportOracleFiles({ result, options, folder }, store)
  await replaceFile(join(folder, 'trial.log'), trialLogText(result))
  const exception = exceptionText(result)
  if (exception !== undefined) await replaceFile(join(folder, 'exception.txt'), exception)
  const lock = harborTrialLock(result, options)
  if (lock !== undefined) await replaceFile(join(folder, 'lock.json'), jsonText(lock))
  await replaceFile(join(folder, 'config.json'), jsonText(harborTrialConfig(result, options)))
}

/** The reward file as Harbor would have read it, where the grader's own file was not kept. */
async function writeReward(folder: string, rewards: Rewards): Promise<void> {
  const [only, ...others] = Object.entries(rewards)
  if (only?.[0] === 'reward' && others.length === 0)
    await replaceFile(join(folder, 'verifier/reward.txt'), `${only[1]}\n`)
  else await replaceFile(join(folder, 'verifier/reward.json'), jsonText(rewards))
}

async function exportJobFiles(files: {
  store: Store
  folder: string
  job: string
  options: JobOptions
  results: readonly RolloutResult[]
  total: number
}): Promise<void> {
  const { store, folder, job } = files
  const [summary, lock, started] = await Promise.all([
    readSummary(store, job),
    getJson<JsonObject>(store, lockKey(job)),
    store.get(proofKey(job)),
  ])
  const startedAt = started?.toString() ?? new Date(0).toISOString()
  const result = harborJobResult({ ...files, startedAt, ...(summary ? { summary } : {}) })
  if (lock !== undefined) await replaceFile(join(folder, 'lock.json'), jsonText(harborJobLock({ ...files, lock })))
  await replaceFile(join(folder, 'job.log'), jobLogText(files.results))
  await replaceFile(join(folder, 'result.json'), jsonText(result))
  await exportObject(store, summaryKey(job), join(folder, 'summary.json'))
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
