import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join, posix, sep } from 'node:path'
import { PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import type { Extract } from 'tar-stream'
import { RollcallError } from '../protocol/failure.ts'
import { taskKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { loadHarborTask } from './harbor-task.ts'
import { describeProblem } from './problems.ts'
import { listTaskFiles } from './task-files.ts'
import { taskTar } from './task-hash.ts'
import type { Task } from './task.ts'

type TarSource = Extract extends AsyncIterable<infer Source> ? Source : never

/** The task as the tar whose sha256 is its checksum. The same files give the same bytes on every machine. */
export async function packTask(
  task: Pick<Task, 'directory' | 'checksum'>,
): Promise<{ checksum: string; tar: Readable }> {
  const { files } = await listTaskFiles(task.directory)
  return { checksum: task.checksum, tar: taskTar(task.directory, files) }
}

/**
 * Puts copies of tasks into the store, by checksum; what is there already is left alone.
 * @throws RollcallError `task-invalid` when a task's files have changed since it was loaded
 */
export async function uploadTasks(store: Store, tasks: readonly Task[]): Promise<void> {
  const present = new Set(await store.list('tasks/'))
  for (const task of tasks) {
    if (present.has(taskKey(task.checksum))) continue
    present.add(taskKey(task.checksum))
    await uploadTask(store, task)
  }
}

async function uploadTask(store: Store, task: Task): Promise<void> {
  const { checksum, tar } = await packTask(task)
  const changed = `Task ${task.name} changed while it was being uploaded: start again when its files are at rest`
  const verified = verifiedStream(tar, checksum, new RollcallError('task-invalid', changed))
  try {
    await store.putOnce(taskKey(checksum), verified.stream)
  } catch (error) {
    throw verified.mismatch() ?? error
  }
}

/** The bytes of `source`, breaking off at the end with `error` unless their sha256 is `checksum`. */
function verifiedStream(
  source: Readable,
  checksum: string,
  error: Error,
): { stream: Readable; mismatch: () => Error | undefined } {
  const hash = createHash('sha256')
  let mismatch: Error | undefined
  const check = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      hash.update(chunk)
      callback(null, chunk)
    },
    flush(callback) {
      mismatch = hash.digest('hex') === checksum ? undefined : error
      callback(mismatch)
    },
  })
  const output = new PassThrough()
  // A failure reaches the reader through the stream itself.
  pipeline(source, check, output).catch(() => undefined)
  return { stream: output, mismatch: () => mismatch }
}

/**
 * A task out of the store, loaded from a copy in the cache directory; unpacked once per machine however many workers
 * ask. @throws RollcallError `store-not-shared` where the store has no such copy
 */
export async function fetchTask(store: Store, cacheDirectory: string, checksum: string): Promise<Task> {
  const directory = (await cachedCopy(cacheDirectory, checksum)) ?? (await fetchCopy(store, cacheDirectory, checksum))
  const loaded = await loadHarborTask(directory, { checksum })
  if ('task' in loaded) return loaded.task
  throw new RollcallError('task-invalid', `${checksum}: ${loaded.problems.map(describeProblem).join('; ')}`)
}

async function fetchCopy(store: Store, cacheDirectory: string, checksum: string): Promise<string> {
  const tar = await store.open(taskKey(checksum))
  if (tar) return unpackTask({ tar, cacheDirectory, checksum })
  throw new RollcallError(
    'store-not-shared',
    `The store ${store.url} has no ${taskKey(checksum)}: expected the copy that the client put there`,
  )
}

/**
 * `fetchTask` that reads each task once per process: what a worker uses, since every activity asks. Keeps the
 * latest 500.
 */
export function createTaskFetcher(store: Store, cacheDirectory: string): (checksum: string) => Promise<Task> {
  const fetched = new Map<string, Promise<Task>>()
  return (checksum) => {
    const earlier = fetched.get(checksum)
    if (earlier) return earlier
    const task = fetchTask(store, cacheDirectory, checksum)
    fetched.set(checksum, task)
    task.catch(() => fetched.delete(checksum))
    const oldest = fetched.size > 500 ? fetched.keys().next().value : undefined
    if (oldest !== undefined) fetched.delete(oldest)
    return task
  }
}

/**
 * Unpacks a copy and returns the task's directory. It appears by one rename, after its hash was checked, so a copy that
 * exists is whole, and of several workers that unpack at the same time one wins and all get the same directory.
 * @throws RollcallError `task-invalid` for a tar that has another hash or would write elsewhere
 */
export async function unpackTask(copy: {
  tar: Readable | Buffer
  cacheDirectory: string
  checksum: string
}): Promise<string> {
  const folder = copyFolder(copy.cacheDirectory, copy.checksum)
  const temporary = `${folder}.${randomUUID()}`
  await mkdir(temporary, { recursive: true })
  try {
    await unpack(copy, temporary)
    await rename(temporary, folder).catch(ignoreTaken)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  const directory = await cachedCopy(copy.cacheDirectory, copy.checksum)
  if (directory) return directory
  throw new RollcallError('task-invalid', `The copy ${copy.checksum} holds no task directory`)
}

function copyFolder(cacheDirectory: string, checksum: string): string {
  return join(cacheDirectory, 'tasks', checksum)
}

async function cachedCopy(cacheDirectory: string, checksum: string): Promise<string | undefined> {
  const folder = copyFolder(cacheDirectory, checksum)
  const [name] = await readdir(folder).catch(() => [])
  return name === undefined ? undefined : join(folder, name)
}

function ignoreTaken(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
}

async function unpack(copy: { tar: Readable | Buffer; checksum: string }, into: string): Promise<void> {
  const source = Buffer.isBuffer(copy.tar) ? Readable.from([copy.tar]) : copy.tar
  const wrong = new RollcallError('task-invalid', `The copy ${copy.checksum} has another content than its name says`)
  const entries = extract()
  const fed = pipeline(verifiedStream(source, copy.checksum, wrong).stream, entries)
  const written = writeAll(entries, into)
  await Promise.all([fed, written])
}

async function writeAll(entries: Extract, into: string): Promise<void> {
  const links = new Set<string>()
  for await (const entry of entries) {
    const path = safePath(entry.header.name, links)
    if (entry.header.type === 'symlink') links.add(path)
    await writeOne(entry, path, into)
  }
}

/** The entry's path, if it lies below the folder and no part of it is a link of the same tar. */
function safePath(name: string, links: ReadonlySet<string>): string {
  const path = name.replace(/\/+$/, '')
  const parts = path.split('/')
  const climbs = path === '' || parts.some((part) => part === '' || part === '.' || part === '..')
  const throughLink = parts.some((_, depth) => links.has(parts.slice(0, depth).join('/')))
  if (climbs || throughLink || path.includes('\0')) throw refusedEntry(name)
  return path
}

async function writeOne(entry: TarSource, path: string, into: string): Promise<void> {
  const { type, linkname, mode } = entry.header
  const full = join(into, path.split('/').join(sep))
  await mkdir(dirname(full), { recursive: true })
  if (type === 'directory') await mkdir(full, { recursive: true })
  else if (type === 'symlink') await symlink(safeTarget(path, linkname ?? ''), full)
  else if (type === 'file') {
    const executable = ((mode ?? 0) & 0o111) !== 0
    return pipeline(entry, createWriteStream(full, { flags: 'wx', mode: executable ? 0o755 : 0o644 }))
  } else throw refusedEntry(path)
  entry.resume()
}

function safeTarget(path: string, target: string): string {
  const reached = posix.normalize(posix.join(posix.dirname(path), target))
  if (target.startsWith('/') || reached === '..' || reached.startsWith('../')) throw refusedEntry(path)
  return target
}

function refusedEntry(name: string): RollcallError {
  return new RollcallError(
    'task-invalid',
    `The copy of a task holds ${JSON.stringify(name)}: expected files, folders and links inside the task`,
  )
}
