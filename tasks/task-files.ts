import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import type { Problem } from '../providers/contract/provider.ts'
import { shownValue } from './problems.ts'

/** One entry of a task's directory, as it goes into a copy. */
export interface TaskFile {
  /** Relative to the task's directory, with `/`. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink'
  readonly executable: boolean
  /** Of a symlink: what it says. */
  readonly target?: string
  /** Of a file. */
  readonly bytes?: number
}

/** Folders that a worker uploads into sandboxes: it holds each in memory, several times over while it sends it. */
const uploadedFolder = /^(?:tests|solution|steps\/[^/]+\/(?:tests|solution|workdir))(?=\/)/
const maxUploadBytes = 256 * 1024 ** 2

const maxFileBytes = 1024 ** 3

/** Everything in a task's directory, sorted by path, and what must not be there. */
export async function listTaskFiles(directory: string): Promise<{ files: TaskFile[]; problems: Problem[] }> {
  const root = await realpath(directory)
  const paths = await pathsBelow(root, '')
  const found = await Promise.all(paths.map((path) => inspect(root, path)))
  const files = found.flatMap((entry) => ('expected' in entry ? [] : [entry]))
  const wrong = found.flatMap((entry) => ('expected' in entry ? [entry] : []))
  const uploaded = new Set(files.flatMap(({ path }) => uploadedFolder.exec(path)?.[0] ?? []))
  const problems = [...wrong, ...[...uploaded].flatMap((folder) => uploadProblems(files, folder))]
  return { files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)), problems }
}

function uploadProblems(files: readonly TaskFile[], folder: string): Problem[] {
  const below = files.filter(({ path }) => path.startsWith(`${folder}/`))
  const bytes = below.reduce((sum, file) => sum + (file.bytes ?? 0), 0)
  if (bytes <= maxUploadBytes) return []
  const expected = 'at most 256 MiB, since it is uploaded into every sandbox; put large files into the image'
  return [{ field: folder, value: `${bytes} bytes`, expected }]
}

/** All paths below a folder. Node's own recursive listing follows links to folders, in circles too. */
async function pathsBelow(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true })
  const below = await Promise.all(
    entries.map(async (entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      return entry.isDirectory() ? [path, ...(await pathsBelow(root, path))] : [path]
    }),
  )
  return below.flat()
}

async function inspect(root: string, path: string): Promise<TaskFile | Problem> {
  if (path.includes('\uFFFD')) return { field: path, value: 'not UTF-8', expected: 'a file name in UTF-8; rename it' }
  const full = join(root, path)
  const stat = await lstat(full)
  const executable = (stat.mode & 0o111) !== 0
  if (stat.isDirectory()) return { path, type: 'directory', executable }
  if (stat.isSymbolicLink()) return inspectLink(root, path)
  if (!stat.isFile()) {
    return { field: path, value: 'a special file', expected: 'a file, folder or symbolic link; remove it' }
  }
  if (stat.size > maxFileBytes) {
    return {
      field: path,
      value: `${stat.size} bytes`,
      expected: 'at most 1 GiB per file; fetch it while the image is built',
    }
  }
  return { path, type: 'file', executable, bytes: stat.size }
}

async function inspectLink(root: string, path: string): Promise<TaskFile | Problem> {
  const target = await readlink(join(root, path))
  const reached = relative(root, await physicalPath(`${dirname(join(root, path))}/${target}`))
  const leaves = target.startsWith('/') || reached === '..' || reached.startsWith(`..${sep}`)
  if (!leaves) return { path, type: 'symlink', executable: false, target }
  return {
    field: path,
    value: `a symbolic link to ${shownValue(target)}`,
    expected:
      'a link that stays inside the task directory: copies of the task would point elsewhere; replace it by the file',
  }
}

/** Where a path leads when links on the way are followed, also when its end does not exist. */
async function physicalPath(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const cut = path.lastIndexOf('/')
    return cut <= 0 ? path : join(await physicalPath(path.slice(0, cut)), path.slice(cut + 1))
  }
}
