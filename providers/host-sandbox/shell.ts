import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { RollcallError } from '../../protocol/failure.ts'
import type { ShellUser } from '../contract/provider.ts'
import type { Isolation } from './isolation.ts'
import { process1Path } from './isolation.ts'
import { scriptText } from './paths.ts'
import type { ProcessIdentity } from './process-identity.ts'
import { isMissing } from './record.ts'

export interface ShellPlace {
  readonly isolation: Isolation
  /** Process 1 of the sandbox. */
  readonly process1: ProcessIdentity
  readonly workdir: string
}

/**
 * Lets a person into a sandbox: a process that joins its namespaces, with its environment and no more capabilities than
 * what runs there. The terminal inside is a new one, which `script` of this host keeps: the person's own is never open
 * in the sandbox, where a process could type into it. A shell whose terminal goes away ends.
 */
export async function enterSandbox(place: ShellPlace, user: ShellUser): Promise<number> {
  if (user.user !== undefined && !['root', '0'].includes(user.user)) {
    throw new RollcallError('runtime-unsupported', `User is ${JSON.stringify(user.user)}: expected root, the only one`)
  }
  const environment = await environmentInside(place.process1.pid)
  const shell = user.isTerminal ? startWithTerminal(place, user) : startWithPipes(place, user)
  sendEnvironment(shell, environment)
  const [code] = (await once(shell, 'close').catch(explainMissing)) as [number | null]
  return code ?? 1
}

function explainMissing(error: unknown): never {
  if (!isMissing(error)) throw error
  const program = error instanceof Error && 'path' in error ? String(error.path) : 'a program'
  throw new RollcallError(
    'runtime-unsupported',
    `There is no ${program} on this host, which a shell in a sandbox needs: install util-linux and bsdutils` +
      (program === 'script' ? ', or name a --command and give it no terminal (</dev/null)' : ''),
  )
}

/** Of the supervisor, which is the first child of process 1: process 1 itself began without any. */
async function environmentInside(process1: number): Promise<string[]> {
  const children = await readFile(`/proc/${process1}/task/${process1}/children`, 'utf8').catch(() => '')
  const [supervisor = String(process1)] = children.trim().split(' ')
  const environment = await readFile(`/proc/${supervisor || process1}/environ`, 'utf8').catch(() => '')
  return environment.split('\0').filter((entry) => /^[A-Za-z_][A-Za-z0-9_]*=/.test(entry))
}

function startWithTerminal(place: ShellPlace, user: ShellUser): ChildProcess {
  const command = argvInside(place, user).map(quoted).join(' ')
  const argv = ['--quiet', '--return', '--flush', '--command', command, '/dev/null']
  const { stdin, stdout, stderr } = user
  return spawn('script', argv, {
    stdio: [stdin, stdout, stderr, 'pipe'],
    env: { PATH: process1Path, TERM: user.terminalType, SHELL: '/bin/sh' },
  })
}

function startWithPipes(place: ShellPlace, user: ShellUser): ChildProcess {
  const [program = '', ...argv] = argvInside(place, user)
  const shell = spawn(program, argv, { stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env: { PATH: process1Path } })
  const { stdin, stdout, stderr } = shell
  // A command that does not read its input is not to fail because of that.
  stdin.on('error', () => {})
  user.stdin.pipe(stdin)
  stdout.pipe(user.stdout, { end: false })
  stderr.pipe(user.stderr, { end: false })
  shell.once('close', () => void user.stdin.unpipe(stdin).pause())
  return shell
}

/** Everything inside is told by arguments; the environment comes on descriptor 3, as it may hold secrets. */
function argvInside({ isolation, process1, workdir }: ShellPlace, user: ShellUser): string[] {
  const mode = user.command === undefined ? 'interactive' : 'command'
  const terminal = user.isTerminal ? user.terminalType : ''
  return [
    ['nsenter', '--all', '--root', '--preserve-credentials', '--target', String(process1.pid), '--'],
    isolation.confineShell(),
    ['/bin/sh', '-c', scriptText('enter-shell.sh'), 'shell', workdir, mode, terminal, user.command ?? ''],
  ].flat()
}

/** As shell text, complete before the shell is there for anybody to type into. */
function sendEnvironment(shell: ChildProcess, environment: readonly string[]): void {
  const channel = shell.stdio[3]
  if (!channel || !('end' in channel)) return
  const pipe: Writable = channel
  // A way in that could not be opened does not read it.
  pipe.on('error', () => {})
  pipe.end(environment.map(exportLine).join(''))
}

function exportLine(entry: string): string {
  const [name = ''] = entry.split('=', 1)
  return `export ${name}=${quoted(entry.slice(name.length + 1))}\n`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
