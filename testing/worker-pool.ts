import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

export interface WorkerCommand {
  /** Module to run, relative to the repository. */
  readonly entry: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** File that everything they say is appended to. */
  readonly log: string
  /** Default true. */
  readonly replace?: boolean
}

/** Worker processes of a test; those that are killed are replaced at once, as a service manager would. */
export class WorkerPool {
  readonly #command: WorkerCommand
  readonly #children = new Set<ChildProcess>()
  #isOpen = true

  constructor(command: WorkerCommand) {
    this.#command = command
  }

  get pids(): number[] {
    return [...this.#children].flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  /** @returns its pid */
  async start(): Promise<number> {
    const { entry, args, env, log } = this.#command
    const main = fileURLToPath(new URL(`../${entry}`, import.meta.url))
    const file = await open(log, 'a')
    const child = spawn(process.execPath, [main, ...args], { env: { ...env }, stdio: ['ignore', file.fd, file.fd] })
    await file.close()
    this.#children.add(child)
    child.once('exit', (_code, signal) => {
      this.#children.delete(child)
      if (!this.#isOpen || signal !== 'SIGKILL' || this.#command.replace === false) return
      void this.start()
    })
    if (!this.#isOpen) child.kill('SIGKILL')
    return child.pid ?? 0
  }

  /** Ends them, by default as a service manager would; returns when they are gone. */
  async close(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.#isOpen = false
    const ended = [...this.#children].map(async (child) => {
      const exited = once(child, 'exit')
      child.kill(signal)
      child.kill('SIGCONT')
      await exited
    })
    await Promise.all(ended)
  }
}
