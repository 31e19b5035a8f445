import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../testing/temporary-folder.ts'

/** A file's content, or a link, or undefined for a file that is not to be there. */
export type FixtureFile = string | { link: string } | undefined

const smallestTask: Record<string, FixtureFile> = {
  'task.toml': 'schema_version = "1.4"\n',
  'instruction.md': 'Do it.\n',
  'tests/test.sh': '#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n',
}

/** For tests: writes a task directory, the smallest valid one with `files` over it, and returns its path. */
export async function writeTask(files: Record<string, FixtureFile> = {}, name = 'a-task'): Promise<string> {
  return writeTaskInto(await temporaryDirectory(), files, name)
}

export async function writeTaskInto(
  parent: string,
  files: Record<string, FixtureFile> = {},
  name = 'a-task',
): Promise<string> {
  const directory = join(parent, name)
  for (const [path, content] of Object.entries({ ...smallestTask, ...files })) {
    if (content !== undefined) await writeFixture(join(directory, path), content)
  }
  return directory
}

/** For tests: a task that local and Docker take as it is, with scripts of its own; returns its path. */
export function writeScriptedTask(
  parent: string,
  name: string,
  { solution, tests }: { solution: string; tests: string },
): Promise<string> {
  const files = {
    'task.toml': 'schema_version = "1.4"\n[environment]\nnetwork_mode = "no-network"\n',
    'environment/Dockerfile': 'FROM debian:12\nWORKDIR /app\n',
    'solution/solve.sh': `#!/bin/bash\n${solution}\n`,
    'tests/test.sh': `#!/bin/bash\n${tests}\n`,
  }
  return writeTaskInto(parent, files, name)
}

export function temporaryDirectory(): Promise<string> {
  return temporaryFolder('task')
}

async function writeFixture(path: string, content: string | { link: string }): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  if (typeof content !== 'string') return symlink(content.link, path)
  await writeFile(path, content)
  if (content.startsWith('#!')) await chmod(path, 0o755)
}
