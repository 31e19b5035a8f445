import { readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import pLimit from 'p-limit'
import { z } from 'zod'
import { failureKinds, isFailureCode, RollcallError } from '../protocol/failure.ts'
import type { Actor } from '../protocol/failure.ts'
import { jobIdPattern } from '../protocol/names.ts'
import type { Store } from '../store/store.ts'
import { readTextFile } from './export-files.ts'
import { findJobOptions, readGrades } from './read-job.ts'
import { mainReward } from './summary.ts'

/** A rollout as far as comparing needs it, of Rollcall's or of Harbor's. */
export interface ComparedRollout {
  readonly task: string
  readonly agent: string
  /** Main reward; absent when it was not graded. */
  readonly reward?: number
  /** Why it was not graded. */
  readonly failure?: { readonly code: string; readonly actor: Actor | 'unknown' }
  readonly checksum?: string
}

/** One side of a comparison. */
export interface ComparedJob {
  readonly name: string
  /** Whose checksums they are: those of Harbor and Rollcall are made differently and say nothing about each other. */
  readonly format: 'rollcall' | 'harbor'
  readonly finished: boolean
  readonly rollouts: readonly ComparedRollout[]
}

/**
 * One side of a comparison by what a person names: the id of a job, the folder of an exported job, a folder that Harbor
 * has written for a job, or a jobs directory with a single job in it. `:<agent>` behind it leaves the others out.
 * @throws RollcallError `configuration-invalid` when there is no such job, folder or agent
 */
export async function readComparedJob(store: Store, text: string): Promise<ComparedJob> {
  const whole = await findSide(store, text)
  if (whole !== undefined) return whole
  const [, side = '', agent = ''] = /^(.+):([^:/]+)$/.exec(text) ?? []
  const found = side === '' ? undefined : await findSide(store, side)
  if (found !== undefined) return ofAgent(found, agent)
  throw new RollcallError(
    'configuration-invalid',
    `${JSON.stringify(text)} is neither a job of the store ${store.url} nor a folder: ` +
      'expected the id of a job, the folder of an exported job or of one that Harbor has run, each also as JOB:AGENT',
  )
}

async function findSide(store: Store, text: string): Promise<ComparedJob | undefined> {
  if (jobIdPattern.test(text) && (await findJobOptions(store, text)) !== undefined) return await storedJob(store, text)
  const isFolder = await stat(text).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return isFolder ? await folderJob(resolve(text)) : undefined
}

function ofAgent(job: ComparedJob, agent: string): ComparedJob {
  const rollouts = job.rollouts.filter((rollout) => rollout.agent === agent)
  if (rollouts.length > 0) return { ...job, name: `${job.name}:${agent}`, rollouts }
  const agents = [...new Set(job.rollouts.map((rollout) => rollout.agent))]
  throw new RollcallError(
    'configuration-invalid',
    `${job.name} has no agent ${JSON.stringify(agent)}: expected one of ${agents.join(', ')}`,
  )
}

/** A job of the store; of one that is not over, what has ended. @throws RollcallError `configuration-invalid` before it is planned */
export async function storedJob(store: Store, job: string): Promise<ComparedJob> {
  const { summary, finished } = await readGrades(store, job)
  const rollouts = summary.rollouts.map(({ task, agent, rewards, failure, taskChecksum }) =>
    comparedRollout({ task, agent, rewards, code: failure?.code, checksum: taskChecksum }),
  )
  return { name: job, format: 'rollcall', finished, rollouts }
}

/** Harbor writes a reward that is not finite as null: such a trial has none. */
const rewardsSchema = z.record(z.string(), z.number().nullable()).transform((rewards) => {
  const finite = Object.entries(rewards).filter((entry): entry is [string, number] => entry[1] !== null)
  return finite.length === Object.keys(rewards).length ? Object.fromEntries(finite) : undefined
})

/** What both formats have in a trial's result.json; unknown fields are passed over. */
const trialSchema = z.object({
  task_name: z.string(),
  task_id: z.object({ path: z.string().optional() }).nullish(),
  task_checksum: z.string().nullish(),
  agent_info: z.object({ name: z.string() }),
  verifier_result: z.object({ rewards: rewardsSchema.nullish() }).nullish(),
  exception_info: z.object({ exception_type: z.string() }).nullish(),
  rollcall: z.object({ agent: z.string() }).optional(),
})

type Trial = z.infer<typeof trialSchema>

const readAtOnce = 16

async function folderJob(folder: string): Promise<ComparedJob> {
  const trials = await trialFolders(folder)
  if (trials.length === 0) return await folderJob(await onlyJobIn(folder))
  const limit = pLimit(readAtOnce)
  const read = await Promise.all(trials.map((name) => limit(() => readTrial(join(folder, name)))))
  const whole = read.filter((trial) => trial !== undefined)
  const format = whole.some(({ rollcall }) => rollcall !== undefined) ? 'rollcall' : 'harbor'
  const unfinished = read.length - whole.length
  return { name: basename(folder), format, finished: unfinished === 0, rollouts: whole.map(fromTrial) }
}

/** Folders that Harbor or our export made for one rollout each: their config.json names the trial, a job's does not. */
async function trialFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const limit = pLimit(readAtOnce)
  const configs = await Promise.all(folders.map((name) => limit(() => readTextFile(join(folder, name, 'config.json')))))
  return folders.filter((_, at) => trialConfigSchema.safeParse(jsonOf(configs[at])).success).toSorted()
}

const trialConfigSchema = z.object({ trial_name: z.string() })

/** The one job of a jobs directory. @throws RollcallError `configuration-invalid` for none or several */
async function onlyJobIn(folder: string): Promise<string> {
  const entries = await readdir(folder, { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name))
  const trials = await Promise.all(folders.map(trialFolders))
  const jobs = folders.filter((_, at) => (trials[at] ?? []).length > 0)
  const [only, ...others] = jobs
  if (only !== undefined && others.length === 0) return only
  throw new RollcallError(
    'configuration-invalid',
    jobs.length === 0
      ? `Folder ${folder} holds no rollouts: expected the folder of a job, with a folder and a result.json for each`
      : `Folder ${folder} holds several jobs: expected one of ${jobs.join(', ')}`,
  )
}

/** Undefined for one that has not ended, or whose file is cut: Harbor rewrites its files in place. */
async function readTrial(folder: string): Promise<Trial | undefined> {
  const text = await readTextFile(join(folder, 'result.json'))
  if (text === undefined) return undefined
  const parsed = trialSchema.safeParse(jsonOf(text))
  if (parsed.success) return parsed.data
  if (jsonOf(text) === undefined) return undefined
  throw new RollcallError(
    'configuration-invalid',
    `${join(folder, 'result.json')} is no result of a trial: ${parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`,
  )
}

function jsonOf(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

function fromTrial(trial: Trial): ComparedRollout {
  return comparedRollout({
    task: taskNameOf(trial),
    agent: trial.rollcall?.agent ?? trial.agent_info.name,
    rewards: trial.verifier_result?.rewards ?? undefined,
    code: trial.exception_info?.exception_type,
    checksum: trial.task_checksum ?? undefined,
  })
}

/** The name of the task's directory, as ours is: Harbor's own may have an organization before it. */
function taskNameOf({ task_id: id, task_name: name }: Trial): string {
  return basename(id?.path ?? name)
}

function comparedRollout(found: {
  task: string
  agent: string
  rewards: Readonly<Record<string, number>> | undefined
  code: string | undefined
  checksum: string | undefined
}): ComparedRollout {
  const { task, agent, rewards, code = 'no-reward', checksum } = found
  const reward = rewards === undefined ? undefined : mainReward(rewards)
  const failure = { code, actor: isFailureCode(code) ? failureKinds[code].actor : ('unknown' as const) }
  return {
    task,
    agent,
    ...(reward === undefined ? { failure } : { reward }),
    ...(checksum === undefined || checksum === '' ? {} : { checksum }),
  }
}
