import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { hashOf, packEntries } from './task-tar.ts'
import type { TaskFile } from './task-files.ts'

/** The whole task as one tar: a folder with the task's name, so that a copy knows what it is called. */
export function taskTar(root: string, files: readonly TaskFile[]): Readable {
  const name = basename(root)
  return packEntries(
    root,
    files.map((file) => ({ file, name: `${name}/${file.path}` })),
  )
}

/** The checksum of a task: sha256 of `taskTar`, hex. */
export function hashTask(root: string, files: readonly TaskFile[]): Promise<string> {
  return hashOf(taskTar(root, files))
}

/** sha256 of what lies below one folder of the task, hex. */
export function hashTree(root: string, files: readonly TaskFile[], folder: string): Promise<string> {
  return hashOf(packEntries(root, entriesBelow(files, folder)))
}

/** Entries below a folder, named relative to it. */
export function entriesBelow(files: readonly TaskFile[], folder: string): { file: TaskFile; name: string }[] {
  const prefix = `${folder}/`
  return files
    .filter(({ path }) => path.startsWith(prefix))
    .map((file) => ({ file, name: file.path.slice(prefix.length) }))
}
