import { glob } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Need, Provisioned } from './provision.ts'

/** The vitest projects that `npm test` runs. `postgres` takes many minutes and has its own command. */
export const testProjects = ['unit', 'temporal', 'provider', 'e2e', 'chaos'] as const
export type TestProject = (typeof testProjects)[number]

export interface NotRun {
  readonly file: string
  readonly why: string
}

/** Test files of the projects that `npm test` runs, relative to `root`, sorted. */
export async function findTestFiles(root: string): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob('**/*.test.ts', { cwd: root, exclude: ['**/node_modules/**', 'dist/**'] })) {
    if (projectOf(file)) files.push(file)
  }
  return files.toSorted()
}

/** The files that cannot run on this machine, with the reason. */
export function planTests(files: readonly string[], provisioned: Provisioned): NotRun[] {
  return files.flatMap((file) => {
    const reasons = needsOf(file).flatMap((need) =>
      provisioned[need] === undefined ? [] : `${need}: ${provisioned[need]}`,
    )
    return reasons.length === 0 ? [] : [{ file, why: reasons.join('; ') }]
  })
}

/** What a file needs, by its suffix; a path that names a provider, the S3 store or the browser needs that one only. */
export function needsOf(file: string): Need[] {
  const project = projectOf(file)
  if (project === 'temporal') return ['temporal']
  if (project === 'provider') return providersOf(file)
  return project === 'e2e' || project === 'chaos' ? ['temporal', ...providersOf(file)] : []
}

function providersOf(file: string): Need[] {
  if (file.includes('fake')) return []
  if (file.includes('chromium')) return ['chromium']
  // A store is no provider: a whole job with one has its sandboxes beside.
  if (/\bs3\b/.test(file)) return projectOf(file) === 'e2e' ? ['s3', 'bubblewrap'] : ['s3']
  if (/\bssh\b/.test(file)) return ['sshd', 'bubblewrap']
  // The server of Modal's protocol makes containers.
  if (file.includes('docker') || /\bmodal\b/.test(file)) return ['docker']
  return file.includes('local') ? ['bubblewrap'] : ['docker', 'bubblewrap']
}

export function projectOf(file: string): TestProject | undefined {
  const suffix = /\.([a-z0-9]+)\.test\.ts$/.exec(basename(file))?.[1]
  if (suffix === undefined) return 'unit'
  return testProjects.find((project) => project === suffix && project !== 'unit')
}
