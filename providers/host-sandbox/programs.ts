import { join } from 'node:path'
import { attachArgv, supervisorArgv } from '../../runner/scripts.ts'
import { inside, scriptText, type SandboxPaths } from './paths.ts'
import { writeWhole } from './write-whole.ts'

/**
 * The command line of process 1 and of all that it starts. Their programs become files, which the sandbox sees read-only:
 * as text in argument lists they would hold so many words that a `pkill -f sleep` of an agent ended the sandbox.
 */
export async function programsArgv(
  paths: SandboxPaths,
  options: { workdir: string; lifetimeMs: number },
): Promise<string[]> {
  const places = { journalDir: inside.journal, outputDir: inside.output }
  const asFile = (name: string, argv: string[]): Promise<string[]> => putIntoFile(paths, name, argv)
  const own = (name: string): Promise<string[]> => asFile(name, ['/bin/sh', '-c', scriptText(name), 'rollcall'])
  const attachment = await asFile('attach.sh', attachArgv({ ...places, workdir: options.workdir }))
  const child = [...(await own('attach-loop.sh')), inside.channels, ...attachment]
  const supervisor = supervisorArgv({ ...places, lifetimeMs: options.lifetimeMs, child })
  return [...(await own('process-one.sh')), paths.marker, ...(await asFile('supervisor.sh', supervisor))]
}

/** `sh -c TEXT NAME ARG…` as `sh FILE ARG…`. */
async function putIntoFile(paths: SandboxPaths, name: string, argv: string[]): Promise<string[]> {
  const [shell = '', option, text = '', , ...args] = argv
  if (option !== '-c') return argv
  await writeWhole(join(paths.channels, name), text)
  return [shell, join(inside.channels, name), ...args]
}
