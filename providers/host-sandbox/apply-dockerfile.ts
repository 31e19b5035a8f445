import { chmod, copyFile, lstat, mkdir, readlink, stat, symlink } from 'node:fs/promises'
import { basename, join, posix } from 'node:path'
import { RollcallError } from '../../protocol/failure.ts'
import { entriesBelow, matchSource, type BuildContext, type ContextEntry } from './build-context.ts'
import type { CopyStep } from './dockerfile-plan.ts'
import { errorCode } from './record.ts'

/** Makes the directories and copies the files of a Dockerfile into `root`, before anything has run in there. */
export async function applyDockerfile(context: BuildContext, root: string): Promise<void> {
  for (const step of context.plan.steps) {
    if (step.type === 'directory') await makeDirectory(root, step.path)
    else await copyInto({ context, root, step })
  }
}

interface Copy {
  readonly context: BuildContext
  readonly root: string
  readonly step: CopyStep
}

async function copyInto(copy: Copy): Promise<void> {
  const sources = copy.step.sources.flatMap((source) => matchSource(source, copy.context.entries))
  const intoDirectory = copy.step.intoDirectory || sources.length > 1 || (await isDirectory(copy))
  for (const source of sources) {
    if (source.type === 'directory') await copyDirectory(copy, source)
    else {
      const name = intoDirectory ? basename(source.path) : ''
      await copyEntry(copy, source, posix.join(copy.step.destination, name))
    }
  }
}

/** The contents, not the directory itself: so does Docker. */
async function copyDirectory(copy: Copy, source: ContextEntry): Promise<void> {
  await makeDirectory(copy.root, copy.step.destination)
  for (const entry of entriesBelow(source, copy.context.entries)) {
    const from = { ...entry, path: posix.join(source.path, entry.path) }
    await copyEntry(copy, from, posix.join(copy.step.destination, entry.path))
  }
}

async function copyEntry(copy: Copy, source: ContextEntry, target: string): Promise<void> {
  const from = join(copy.context.directory, source.path)
  await makeDirectory(copy.root, posix.dirname(target))
  const to = join(copy.root, target)
  if (source.type === 'link') return await symlink(await readlink(from), to)
  if (source.type === 'directory') await makeDirectory(copy.root, target)
  else {
    await refuseLink(to, target)
    await copyFile(from, to)
  }
  await chmod(to, copy.step.mode ?? (await stat(from)).mode & 0o7777)
}

/**
 * Like `mkdir -p` below `root`, but through no symbolic link: one that came from the context could lead out of it.
 * @throws RollcallError `image-build-failed`
 */
export async function makeDirectory(root: string, path: string): Promise<void> {
  let current = ''
  for (const part of path.split('/').filter((name) => name !== '')) {
    current = `${current}/${part}`
    await refuseLink(join(root, current), current)
    await mkdir(join(root, current), { mode: 0o755 }).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error
    })
  }
}

async function refuseLink(path: string, shown: string): Promise<void> {
  const status = await lstat(path).catch(() => undefined)
  if (status?.isSymbolicLink()) {
    throw new RollcallError(
      'image-build-failed',
      `environment/Dockerfile copies to ${shown}, which is a symbolic link; the local provider expects a file or a directory: name the link's target, or use --provider docker`,
    )
  }
}

async function isDirectory(copy: Copy): Promise<boolean> {
  return (await lstat(join(copy.root, copy.step.destination)).catch(() => undefined))?.isDirectory() ?? false
}
