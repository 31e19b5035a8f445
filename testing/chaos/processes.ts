import { readdir, readFile, readlink } from 'node:fs/promises'

/** A living process of this machine. */
export interface LivingProcess {
  readonly pid: number
  readonly parent: number
  readonly argv: readonly string[]
  /** `NAME=value`, as it was when the program was started; empty where it may not be read. */
  readonly env: readonly string[]
}

/** All living processes; zombies, which hold nothing but their number, are none. */
export async function livingProcesses(): Promise<LivingProcess[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map((pid) => readProcess(pid).catch(() => undefined)))
  return found.filter((process) => process !== undefined)
}

async function readProcess(pid: number): Promise<LivingProcess | undefined> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8')
  const [status, command, environ] = await Promise.all([read('status'), read('cmdline'), read('environ')])
  if (/^State:\s+[ZX]/m.test(status) || command === '') return undefined
  const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1])
  return { pid, parent, argv: command.split('\0').slice(0, -1), env: environ.split('\0') }
}

/** The processes of the sandbox whose main process has this pid: those in the same PID namespace. */
export async function processesInside(mainPid: number): Promise<LivingProcess[]> {
  const namespace = await namespaceOf(mainPid)
  if (namespace === undefined || namespace === (await namespaceOf(process.pid))) return []
  const processes = await livingProcesses()
  const namespaces = await Promise.all(processes.map(({ pid }) => namespaceOf(pid)))
  return processes.filter((_, index) => namespaces[index] === namespace)
}

async function namespaceOf(pid: number): Promise<string | undefined> {
  return await readlink(`/proc/${pid}/ns/pid`).catch(() => undefined)
}

/** Sends a signal. @returns false when nobody is there any more */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
