import { once } from 'node:events'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Bench } from './bench.ts'

export const rollcallCommand = join(import.meta.dirname, '..', 'cli', 'main.ts')

const killAfterMs = 20_000

/** Runs `rollcall worker` as users do, in a process of its own, while `work` measures; then ends it. */
export async function withWarmWorker<Result>(bench: Bench, work: (pid: number) => Promise<Result>): Promise<Result> {
  const child = spawn(process.execPath, [rollcallCommand, 'worker'], {
    env: { ...bench.environment.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  try {
    const pid = await serving(child)
    child.stderr?.resume()
    return await work(pid)
  } finally {
    await end(child)
  }
}

/** @returns its pid, when it has said that it serves */
async function serving(child: ChildProcess): Promise<number> {
  const said: string[] = []
  if (child.stderr === null || child.pid === undefined) throw new Error('The worker has not been started')
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line)
    if (line.endsWith('ready')) return child.pid
  }
  throw new Error(`The worker ended before it served: ${said.join(' | ')}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  child.kill('SIGTERM')
  await exited
  clearTimeout(timer)
}
