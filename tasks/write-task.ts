import { randomUUID } from 'node:crypto'
import { cp, mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { stringify as toml } from 'smol-toml'
import { stringify as yaml } from 'yaml'
import type { Problem } from '../providers/contract/provider.ts'
import type { LoadedTask } from './harbor-task.ts'
import { loadTask } from './load-task.ts'
import { ownTaskFile } from './own-task-file.ts'
import { copyFolder, ignoreTaken } from './task-copy-folder.ts'
import type { TaskRow } from './task-row.ts'
import type { GraderReference } from './task.ts'

export interface RowTask {
  readonly row: TaskRow
  /** Instead of `check`. */
  readonly grader?: GraderReference
  /** What `from` of its files is relative to. */
  readonly directory: string
}

type NewFile =
  | { readonly text: string; readonly executable?: boolean }
  | { readonly from: string; readonly directory: string }

const defaultWorkdir = '/app'

/**
 * A row as a task directory in the cache, where copies of tasks are unpacked to: from here on nobody can tell that it
 * was a row. Made twice, it is the same directory.
 */
export async function writeRowTask(task: RowTask, cacheDirectory: string): Promise<LoadedTask> {
  const problems = rowProblems(task)
  if (problems.length > 0) return { problems }
  const temporary = join(cacheDirectory, 'tasks', `new-${randomUUID()}`)
  try {
    const written = join(temporary, task.row.name)
    const missing = await writeFiles(written, filesOf(task))
    if (missing.length > 0) return { problems: missing }
    const loaded = await loadTask(written)
    if ('problems' in loaded) return loaded
    const { checksum } = loaded.task
    const folder = copyFolder(cacheDirectory, checksum)
    await rename(temporary, folder).catch(ignoreTaken)
    return await loadTask(join(folder, task.row.name), { checksum })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

function rowProblems({ row, grader }: RowTask): Problem[] {
  const given = [row.check !== undefined, grader !== undefined, row.judge !== undefined].filter(Boolean).length
  const hasDockerfile = row.files?.['Dockerfile'] !== undefined
  return [
    ...(given === 1
      ? []
      : [
          {
            field: 'check',
            value: given === 0 ? 'missing' : 'not alone',
            expected: 'a command whose exit code is the grade, or a judge, or grade in TypeScript: exactly one of them',
          },
        ]),
    ...(hasDockerfile && row.image !== undefined
      ? [{ field: 'image', value: row.image, expected: 'none beside files.Dockerfile: its FROM names the image' }]
      : []),
    ...(row.files !== undefined && !hasDockerfile && row.image === undefined
      ? [{ field: 'image', expected: 'the image that the files go into, or a Dockerfile among the files' }]
      : []),
  ]
}

function filesOf(task: RowTask): Map<string, NewFile> {
  const { row } = task
  return new Map<string, NewFile>([
    ['task.toml', { text: taskToml(row) }],
    ['instruction.md', { text: `${row.instruction.trimEnd()}\n` }],
    ...environmentFiles(task),
    ...testFiles(task),
    ...(row.solution === undefined ? [] : [['solution/solve.sh', shellScript(row.solution)] as const]),
    ...ownFile(task),
  ])
}

function taskToml(row: TaskRow): string {
  const seconds = (ms: number | undefined) => (ms === undefined ? {} : { timeout_sec: ms / 1000 })
  const workdir = row.workdir ?? (hasCopiedFiles(row) ? defaultWorkdir : undefined)
  return toml({
    schema_version: '1.4',
    ...(row.metadata === undefined ? {} : { metadata: row.metadata }),
    agent: seconds(row.agentTimeoutMs),
    verifier: { ...seconds(row.checkTimeoutMs), ...(row.checkEnv === undefined ? {} : { env: row.checkEnv }) },
    environment: {
      ...(row.image === undefined || hasCopiedFiles(row) ? {} : { docker_image: row.image }),
      ...(workdir === undefined ? {} : { workdir }),
      ...(row.env === undefined ? {} : { env: row.env }),
    },
  })
}

function hasCopiedFiles({ files }: TaskRow): boolean {
  return files !== undefined && files['Dockerfile'] === undefined
}

/** Files without a Dockerfile are copied by one that is made for them. */
function environmentFiles({ row, directory }: RowTask): [string, NewFile][] {
  const copied = hasCopiedFiles(row)
  const folder = copied ? 'environment/files' : 'environment'
  const files = Object.entries(row.files ?? {}).map(([path, file]): [string, NewFile] => {
    return [`${folder}/${path}`, newFile(file, directory)]
  })
  const workdir = row.workdir ?? defaultWorkdir
  const dockerfile = `FROM ${row.image}\nWORKDIR ${workdir}\nCOPY files/ ${workdir}/\n`
  return copied ? [['environment/Dockerfile', { text: dockerfile }], ...files] : files
}

function newFile(file: NonNullable<TaskRow['files']>[string], directory: string): NewFile {
  if (typeof file === 'string') return { text: file, executable: file.startsWith('#!') }
  if ('from' in file) return { from: resolve(directory, file.from), directory }
  return { text: file.content, executable: file.executable ?? file.content.startsWith('#!') }
}

/** The check is a script of its own, so that whatever it says cannot disturb the one around it. */
function testFiles({ row, grader }: RowTask): [string, NewFile][] {
  if (grader !== undefined) return [['tests/test.sh', { text: gradedElsewhere(grader), executable: true }]]
  if (row.judge !== undefined) return []
  return [
    ['tests/test.sh', { text: runCheck, executable: true }],
    ['tests/check.sh', shellScript(row.check ?? '')],
  ]
}

const runCheck = `#!/bin/sh
/tests/check.sh
code=$?
echo "The check exited with $code."
# A check may give a finer reward itself.
if [ -e /logs/verifier/reward.json ] || [ -e /logs/verifier/reward.txt ]; then exit 0; fi
if [ "$code" = 0 ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
`

function gradedElsewhere({ source, task }: GraderReference): string {
  return `#!/bin/sh\necho "Graded by the function of task ${task} in ${source}, which only Rollcall can run." >&2\nexit 1\n`
}

function shellScript(text: string): NewFile {
  return { text: text.startsWith('#!') ? text : `#!/bin/sh\n${text.trimEnd()}\n`, executable: true }
}

function ownFile({ row, grader }: RowTask): [string, NewFile][] {
  const { runtime, judge, profile } = row
  const own = {
    ...(runtime === undefined ? {} : { runtime }),
    ...(grader === undefined ? {} : { grader }),
    ...(judge === undefined ? {} : { judge }),
    ...(profile === undefined ? {} : { profile }),
  }
  if (Object.keys(own).length === 0) return []
  return [[ownTaskFile, { text: yaml(own) }]]
}

async function writeFiles(root: string, files: ReadonlyMap<string, NewFile>): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const [path, file] of files) {
    const full = join(root, path)
    await mkdir(dirname(full), { recursive: true })
    if ('text' in file) await writeFile(full, file.text, { mode: file.executable ? 0o755 : 0o644 })
    else if (!(await isWithin(file.directory, file.from))) problems.push(fileElsewhere(path, file.from))
    else
      await cp(file.from, full, { recursive: true, verbatimSymlinks: true }).catch((error: unknown) => {
        problems.push(unreadableFile(path, file.from, error))
      })
  }
  return problems
}

/** A file of tasks may be somebody else's: it takes nothing of this machine but what lies beside it. */
async function isWithin(directory: string, path: string): Promise<boolean> {
  const reached = await realpath(path).catch(() => undefined)
  // What is not there is told by whoever reads it.
  if (reached === undefined) return true
  const way = relative(await realpath(directory), reached)
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function fileElsewhere(path: string, from: string): Problem {
  const expected = 'a file or folder beside the file of tasks, or below its folder; copy it there'
  return { field: fieldOf(path), value: JSON.stringify(from), expected }
}

function fieldOf(path: string): string {
  return `files.${path.replace(/^environment\/(files\/)?/, '')}.from`
}

function unreadableFile(path: string, from: string, error: unknown): Problem {
  if (!(error instanceof Error) || !('code' in error)) throw error
  return {
    field: fieldOf(path),
    value: `${JSON.stringify(from)} (${String(error.code)})`,
    expected: 'a readable file or folder',
  }
}
