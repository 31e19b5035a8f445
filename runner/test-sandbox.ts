import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { openRunner } from './open-runner.ts'
import type { LiveExecs, Runner } from './runner.ts'
import { attachArgv, supervisorArgv } from './scripts.ts'

/** For tests: the real scripts as processes of this machine, in directories of their own. */

export const shells = ['dash', 'bash', 'busybox'] as const
export type Shell = (typeof shells)[number]

/** A scope that no other test of this machine has: markers of commands are seen by all of them. */
export const uniqueScope = (): string => `t${randomBytes(6).toString('hex')}`

/** Programs besides the shell that busybox has to be: its applets. */
export const applets = [
  'cat',
  'cp',
  'chmod',
  'chown',
  'dd',
  'dirname',
  'env',
  'find',
  'grep',
  'head',
  'id',
  'kill',
  'ls',
]
  .concat(['mkdir', 'mkfifo', 'mv', 'od', 'readlink', 'rm', 'sed', 'seq', 'setsid', 'sleep', 'sort', 'su', 'tail'])
  .concat([
    'stty',
    'tar',
    'test',
    'touch',
    'tr',
    'true',
    'wc',
    'yes',
    'basename',
    'stat',
    'printf',
    'sha256sum',
    'date',
    'awk',
  ])

export interface TestSandbox {
  readonly directory: string
  readonly journalDir: string
  readonly outputDir: string
  /** Where commands start. */
  readonly workdir: string
  readonly supervisor: ChildProcess
  /** A new attachment; ending it ends its process. */
  connect(): Promise<Duplex>
  open(options?: Partial<Parameters<typeof openRunner>[0]>): Runner
  /** Kills what is left and verifies that nothing is. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface TestSandboxOptions {
  readonly shell: Shell
  readonly lifetimeMs?: number
  readonly child?: readonly string[]
  /** Default: in the sandbox's directory. */
  readonly journalDir?: string
  readonly outputDir?: string
  /** Of the machine's programs only these, and no other shell. */
  readonly only?: readonly string[]
  /** Runs everything as a user of its own that may have so many processes. Needs root. */
  readonly mostProcesses?: number
}

export async function openTestSandbox(options: TestSandboxOptions): Promise<TestSandbox> {
  const directory = mkdtempSync(join(tmpdir(), 'rollcall-runner-'))
  chmodSync(directory, 0o755)
  const workdir = join(directory, 'work')
  mkdirSync(workdir)
  const env = { PATH: programs(directory, options), HOME: '/root', LANG: 'C.UTF-8' }
  const places = {
    journalDir: options.journalDir ?? join(directory, 'a journal'),
    outputDir: options.outputDir ?? join(directory, "out'put"),
  }
  const launcher = options.mostProcesses === undefined ? [] : crowded(directory, options.mostProcesses)
  const start = (program: readonly string[]): ChildProcess => {
    const [command = '', ...argv] = [...launcher, ...program]
    return spawn(command, argv, { env, cwd: workdir, detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
  }
  const child = options.child === undefined ? {} : { child: options.child }
  const supervisor = start(supervisorArgv({ ...places, lifetimeMs: options.lifetimeMs ?? 600_000, ...child }))
  const connect = async (): Promise<Duplex> => duplexOf(start(attachArgv({ ...places, workdir })))
  const isRunning = (): boolean => supervisor.exitCode === null && supervisor.signalCode === null
  const runners: Runner[] = []
  return {
    directory,
    ...places,
    workdir,
    supervisor,
    connect,
    open: (more) => {
      const isAlive = async () =>
        isRunning() ? ({ alive: true } as const) : { alive: false as const, reason: 'ended' }
      const runner = openRunner({ connect, isAlive, ...more })
      runners.push(runner)
      return runner
    },
    [Symbol.asyncDispose]: async () => {
      for (const runner of runners) runner.close()
      if (isRunning()) {
        supervisor.kill('SIGTERM')
        await once(supervisor, 'exit')
      }
      await verifyGone(directory)
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** What to start programs with so that they belong to a user who has nothing but the directory. */
function crowded(directory: string, mostProcesses: number): string[] {
  const uid = randomInt(100_000, 200_000)
  for (const path of [directory, join(directory, 'work')]) chownSync(path, uid, uid)
  return ['/usr/bin/setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'].concat([
    '/usr/bin/prlimit',
    `--nproc=${mostProcesses}`,
    '--',
  ])
}

/** A PATH on which `sh` is the shell under test. */
function programs(directory: string, { shell, only }: TestSandboxOptions): string {
  const bin = join(directory, 'bin')
  mkdirSync(bin)
  symlinkSync(`/bin/${shell}`, join(bin, 'sh'))
  if (only !== undefined) {
    for (const name of only) symlinkSync(join('/usr/bin', name), join(bin, name))
    if (shell !== 'busybox') return bin
  } else if (shell !== 'busybox') return `${bin}:/usr/bin:/bin`
  const free = applets.filter((applet) => !only?.includes(applet))
  for (const applet of free) symlinkSync('/bin/busybox', join(bin, applet))
  return bin
}

function duplexOf(child: ChildProcess): Duplex {
  if (child.stdin === null || child.stdout === null) throw new Error('The attachment has no pipes')
  return Duplex.from({ readable: child.stdout, writable: child.stdin })
}

/** For runners that stand for real ones where nobody asks after running commands. */
export const noLiveExecs: LiveExecs = {
  writeInput: () => Promise.reject(new Error('no input is expected')),
  readOutput: () => Promise.reject(new Error('nobody is expected to read output')),
  signal: () => Promise.reject(new Error('no signal is expected')),
}

/** Processes (not zombies) of which command line or environment names `text`. */
export function processesNaming(text: string): string[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && name !== String(process.pid))
  return pids.filter((pid) => {
    try {
      const read = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8')
      return `${read('cmdline')}\0${read('environ')}`.includes(text)
    } catch {
      return false
    }
  })
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let rounds = 0; !(await condition()); rounds += 1) {
    if (rounds > 1000) throw new Error(`Waited 10 s for: ${what}`)
    await delay(10)
  }
}

export async function fileAppears(path: string): Promise<void> {
  await until(() => existsSync(path), `${path} to appear`)
}

async function verifyGone(directory: string): Promise<void> {
  try {
    await until(() => processesNaming(directory).length === 0, 'all processes of the sandbox to be gone')
  } catch (error) {
    const left = processesNaming(directory)
    const described = left.map((pid) => `${pid} ${describe(pid)}`).join('; ')
    for (const pid of left) process.kill(Number(pid), 'SIGKILL')
    throw new Error(`Left behind: ${described}`, { cause: error })
  }
}

function describe(pid: string): string {
  try {
    return ['comm', 'stat', 'wchan', 'cmdline']
      .map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8').slice(-90))
      .join(' ')
  } catch {
    return 'has ended meanwhile'
  }
}
