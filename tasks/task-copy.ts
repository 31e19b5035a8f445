import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { RollcallError } from '../protocol/failure.ts'
import { taskKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { loadTask } from './load-task.ts'
import { describeProblem } from './problems.ts'
import { copyFolder, ignoreTaken } from './task-copy-folder.ts'
import { listTaskFiles } from './task-files.ts'
import { taskTar } from './task-hash.ts'
import type { Task } from './task.ts'
import { unpackCopy } from './unpack-copy.ts'
import { verifiedStream } from './verified-stream.ts'

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

/**
 * A task out of the store, loaded from a copy in the cache directory; unpacked once per machine however many workers
 * ask. @throws RollcallError `store-not-shared` where the store has no such copy
 */
export async function fetchTask(store: Store, cacheDirectory: string, checksum: string): Promise<Task> {
  const directory = (await cachedCopy(cacheDirectory, checksum)) ?? (await fetchCopy(store, cacheDirectory, checksum))
  const loaded = await loadTask(directory, { checksum })
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
    await unpackCopy(copy, temporary)
    await rename(temporary, folder).catch(ignoreTaken)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  const directory = await cachedCopy(copy.cacheDirectory, copy.checksum)
  if (directory) return directory
  throw new RollcallError('task-invalid', `The copy ${copy.checksum} holds no task directory`)
}

async function cachedCopy(cacheDirectory: string, checksum: string): Promise<string | undefined> {
  const folder = copyFolder(cacheDirectory, checksum)
  const [name] = await readdir(folder).catch(() => [])
  return name === undefined ? undefined : join(folder, name)
}
