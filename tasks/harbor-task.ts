import { basename, resolve } from 'node:path'
import { taskNamePattern } from '../protocol/names.ts'
import type { Problem } from '../providers/contract/provider.ts'
import { buildContexts, imageOf } from './harbor-images.ts'
import type { BuildContexts } from './harbor-images.ts'
import { layoutProblems, readInstructions } from './harbor-layout.ts'
import type { Instructions } from './harbor-layout.ts'
import { runtimeOf } from './harbor-runtime.ts'
import type { HarborTaskFile } from './harbor-schema.ts'
import { agentOf, artifactOf, healthcheckOf, stepsOf } from './harbor-steps.ts'
import { verifierOf } from './harbor-verifier.ts'
import { shownValue } from './problems.ts'
import { readTaskToml } from './read-task-toml.ts'
import { listTaskFiles } from './task-files.ts'
import type { TaskFile } from './task-files.ts'
import { hashTask } from './task-hash.ts'
import type { Task } from './task.ts'

export type LoadedTask = { readonly task: Task } | { readonly problems: readonly Problem[] }

/**
 * Reads one task in Harbor's directory format; its name is the directory's. Everything wrong with it is reported at
 * once. `checksum` saves hashing a copy whose hash is known; one that a judge grades needs no tests.
 */
export async function loadHarborTask(
  directory: string,
  known: { checksum?: string; isJudged?: boolean } = {},
): Promise<LoadedTask> {
  const root = resolve(directory)
  const listed = await listTaskFiles(root).catch(unreadable)
  if ('expected' in listed) return { problems: [listed] }
  const toml = await readTaskToml(root)
  const instructions = await readInstructions(root, toml.file)
  const problems = [
    ...nameProblems(root),
    ...listed.problems,
    ...toml.problems,
    ...instructions.problems,
    ...layoutProblems(listed.files, toml.file, known),
  ]
  if (problems.length > 0 || !toml.file) return { problems }
  const contexts = await buildContexts(root, listed.files)
  const checksum = known.checksum ?? (await hashTask(root, listed.files))
  return { task: taskOf({ root, file: toml.file, files: listed.files, instructions, contexts, checksum }) }
}

function unreadable(error: unknown): Problem {
  const { code, path } = error as NodeJS.ErrnoException
  if (code === undefined || path === undefined) throw error
  return { field: path, value: `not readable (${code})`, expected: 'a readable task directory' }
}

function taskOf(loaded: {
  root: string
  file: HarborTaskFile
  files: readonly TaskFile[]
  instructions: Instructions
  contexts: BuildContexts
  checksum: string
}): Task {
  const { root, file, contexts, instructions } = loaded
  const { environment = {} } = file
  const { healthcheck, skills_dir: skillsDirectory } = environment
  return {
    name: basename(root),
    checksum: loaded.checksum,
    directory: root,
    instruction: instructions.task,
    runtime: runtimeOf(environment, imageOf(environment, contexts.get('environment'))),
    agent: agentOf(file),
    verifier: verifierOf(file, contexts),
    steps: stepsOf(file, contexts, instructions.steps),
    rewardStrategy: file.multi_step_reward_strategy ?? 'mean',
    artifacts: (file.artifacts ?? []).map(artifactOf),
    ...(healthcheck === undefined ? {} : { healthcheck: healthcheckOf(healthcheck) }),
    ...(skillsDirectory === undefined ? {} : { skillsDirectory }),
    solution: { env: file.solution?.env ?? {} },
    metadata: plainJson(file.metadata ?? {}),
    ...(file.task?.keywords === undefined ? {} : { keywords: file.task.keywords }),
    files: loaded.files.filter(({ type }) => type !== 'directory').map(({ path }) => path),
  }
}

/** TOML's dates become ISO text, so that metadata can be stored as JSON. */
function plainJson(metadata: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(metadata)) as Record<string, unknown>
}

function nameProblems(root: string): Problem[] {
  const name = basename(root)
  if (taskNamePattern.test(name)) return []
  const expected = 'a letter or digit, then at most 79 letters, digits, _ or -; rename the directory'
  return [{ field: 'directory name', value: shownValue(name), expected }]
}
