import ignore from '@balena/dockerignore'
import { readdir, readFile } from 'node:fs/promises'
import { join, posix, relative } from 'node:path'
import picomatch from 'picomatch'
import type { Problem } from '../contract/provider.ts'
import { dockerfileProblem, planDockerfile, type DockerfilePlan } from './dockerfile-plan.ts'

export interface ContextEntry {
  /** Relative to the context, with `/`. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'link'
}

/** A Dockerfile with its context, both read. */
export interface BuildContext {
  readonly directory: string
  readonly plan: DockerfilePlan
  /** What `.dockerignore` leaves, sorted. */
  readonly entries: readonly ContextEntry[]
  /** Those of the plan, and sources that are not there. */
  readonly problems: readonly Problem[]
}

export async function readBuildContext(directory: string): Promise<BuildContext> {
  const plan = planDockerfile(await readFile(join(directory, 'Dockerfile'), 'utf8'))
  const entries = await listContext(directory)
  const missing = plan.steps
    .filter((step) => step.type === 'copy')
    .flatMap((step) =>
      step.sources
        .filter((source) => matchSource(source, entries).length === 0)
        .map((source) => dockerfileProblem(step.line, source, 'a file of the build context was expected, it has none')),
    )
  return { directory, plan, entries, problems: [...plan.problems, ...missing] }
}

/** What one source of a COPY line names: by name, or by a pattern as Go's `filepath.Match` understands it. */
export function matchSource(source: string, entries: readonly ContextEntry[]): ContextEntry[] {
  const wanted = posix.normalize(posix.join('/', source)).replace(/^\/|\/$/g, '')
  if (wanted === '') return [{ path: '', type: 'directory' }]
  if (!/[*?[\]\\]/.test(wanted)) return entries.filter((entry) => entry.path === wanted)
  const matches = picomatch(wanted, { dot: true, noextglob: true, nobrace: true, noglobstar: true, nonegate: true })
  return entries.filter((entry) => matches(entry.path))
}

/** The entry itself if it is a file, or everything below it, with paths relative to it. */
export function entriesBelow(entry: ContextEntry, entries: readonly ContextEntry[]): ContextEntry[] {
  const prefix = entry.path === '' ? '' : `${entry.path}/`
  return entries
    .filter((other) => other.path.startsWith(prefix))
    .map((other) => ({ ...other, path: other.path.slice(prefix.length) }))
}

/** What a build may copy from. */
export async function listContext(directory: string): Promise<ContextEntry[]> {
  const rules = await readFile(join(directory, '.dockerignore'), 'utf8').catch(() => '')
  const keeps = ignore.default().add(rules).createFilter()
  const found = await readdir(directory, { recursive: true, withFileTypes: true })
  const entries = found.flatMap((entry): ContextEntry[] => {
    const path = relative(directory, join(entry.parentPath, entry.name))
    if (!keeps(path)) return []
    if (entry.isDirectory()) return [{ path, type: 'directory' }]
    if (entry.isSymbolicLink()) return [{ path, type: 'link' }]
    return entry.isFile() ? [{ path, type: 'file' }] : []
  })
  return withParents(entries).toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/** An ignored directory with a file that is not ignored (`!keep`) is there nevertheless. */
function withParents(entries: readonly ContextEntry[]): ContextEntry[] {
  const known = new Map(entries.map((entry) => [entry.path, entry]))
  for (const entry of entries) {
    for (let parent = posix.dirname(entry.path); parent !== '.'; parent = posix.dirname(parent)) {
      if (!known.has(parent)) known.set(parent, { path: parent, type: 'directory' })
    }
  }
  return [...known.values()]
}
