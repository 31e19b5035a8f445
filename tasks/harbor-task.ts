import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { taskNamePattern } from '../protocol/names.ts'
import type { Problem } from '../providers/contract/provider.ts'
import type { ImageSource } from '../providers/contract/runtime.ts'
import type { HarborTaskFile } from './harbor-schema.ts'
import { milliseconds, runtimeOf } from './harbor-runtime.ts'
import { shownValue, unreadValue } from './problems.ts'
import { readTaskToml } from './read-task-toml.ts'
import { listTaskFiles } from './task-files.ts'
import type { TaskFile } from './task-files.ts'
import { hashTask, hashTree } from './task-hash.ts'
import type { Task } from './task.ts'

export type LoadedTask = { readonly task: Task } | { readonly problems: readonly Problem[] }

const defaultVerifierTimeoutSeconds = 600

/**
 * Reads one task in Harbor's directory format; its name is the directory's. Everything wrong with it is reported at
 * once. `checksum` saves hashing a copy whose hash is known.
 */
export async function loadHarborTask(directory: string, known: { checksum?: string } = {}): Promise<LoadedTask> {
  const root = resolve(directory)
  const listed = await listTaskFiles(root).catch(unreadable)
  if ('expected' in listed) return { problems: [listed] }
  const toml = await readTaskToml(root)
  const instruction = await readInstruction(root, toml.file)
  const problems = [
    ...nameProblems(root),
    ...listed.problems,
    ...toml.problems,
    ...instruction.problems,
    ...layoutProblems(listed.files, toml.file),
  ]
  if (problems.length > 0 || !toml.file) return { problems }
  const image = await imageOf(root, toml.file, listed.files)
  const checksum = known.checksum ?? (await hashTask(root, listed.files))
  return {
    task: taskOf({ root, file: toml.file, files: listed.files, instruction: instruction.text, image, checksum }),
  }
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
  instruction: string
  image: ImageSource
  checksum: string
}): Task {
  const { root, file } = loaded
  return {
    name: basename(root),
    checksum: loaded.checksum,
    directory: root,
    instruction: loaded.instruction,
    runtime: runtimeOf(file, loaded.image),
    agent: {
      ...(file.agent?.timeout_sec === undefined ? {} : { timeoutMs: milliseconds(file.agent.timeout_sec) }),
      ...userOf(file.agent?.user),
    },
    verifier: {
      timeoutMs: milliseconds(file.verifier?.timeout_sec ?? defaultVerifierTimeoutSeconds),
      ...userOf(file.verifier?.user),
      env: file.verifier?.env ?? {},
    },
    solution: { env: file.solution?.env ?? {} },
    metadata: plainJson(file.metadata ?? {}),
    ...(file.task?.keywords === undefined ? {} : { keywords: file.task.keywords }),
    files: loaded.files.filter(({ type }) => type !== 'directory').map(({ path }) => path),
  }
}

function userOf(user: string | number | undefined): { user?: string } {
  return user === undefined ? {} : { user: String(user) }
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

async function readInstruction(
  root: string,
  file: HarborTaskFile | undefined,
): Promise<{ text: string; problems: Problem[] }> {
  const bytes = await readFile(join(root, 'instruction.md')).catch(unreadValue)
  // Several steps are refused already and bring an instruction each.
  if (!Buffer.isBuffer(bytes) && file?.steps?.length) return { text: '', problems: [] }
  const field = 'instruction.md'
  if (!Buffer.isBuffer(bytes)) {
    return { text: '', problems: [{ field, ...bytes, expected: 'a file with what the agent is told' }] }
  }
  const text = bytes.toString('utf8')
  if (text.trim() !== '' && !text.includes('\0')) return { text, problems: [] }
  return { text, problems: [{ field, value: shownValue(text), expected: 'what the agent is told, as text' }] }
}

function layoutProblems(files: readonly TaskFile[], file: HarborTaskFile | undefined): Problem[] {
  const paths = new Set(files.filter(({ type }) => type !== 'directory').map(({ path }) => path))
  const compose = ['environment/docker-compose.yaml', 'environment/docker-compose.yml'].filter((path) =>
    paths.has(path),
  )
  return [
    ...(paths.has('tests/test.sh') || file?.steps?.length
      ? []
      : [{ field: 'tests/test.sh', expected: 'a script that writes /logs/verifier/reward.txt' }]),
    ...compose.map((field) => ({
      field,
      value: 'present',
      expected: 'no compose file: tasks of several services are not supported yet',
    })),
    ...(paths.has('trajectory.json')
      ? [
          {
            field: 'trajectory.json',
            value: 'present',
            expected: 'none: earlier context for the agent is not supported yet',
          },
        ]
      : []),
  ]
}

/** As in Harbor, `docker_image` wins over a Dockerfile. */
async function imageOf(root: string, file: HarborTaskFile, files: readonly TaskFile[]): Promise<ImageSource> {
  const name = file.environment?.docker_image
  if (name !== undefined) return { type: 'name', name }
  if (!files.some(({ path }) => path === 'environment/Dockerfile')) return { type: 'default' }
  const contentHash = await hashTree(root, files, 'environment')
  return { type: 'dockerfile', directory: join(root, 'environment'), contentHash }
}
