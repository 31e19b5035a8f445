/**
 * `npm run test:dockerd-restart`: restarts a real dockerd under a running rollout. The daemon is one of its own, with its
 * own directories and socket and without a bridge; the one that runs on this machine is never touched. Without
 * live-restore the containers die with the daemon, and the truth is `sandbox-lost`; with it the command goes on.
 * Needs root and the program dockerd. Exits 1 when something was not as it should be, 2 where it cannot be tried.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { execa } from 'execa'
import { holdRollout } from '../bench/held-rollout.ts'
import { processesNaming } from '../bench/process-usage.ts'
import { lastLines } from '../client/server/launch.ts'
import { openHome } from '../testing/durability-home.ts'
import type { DurabilityHome } from '../testing/durability-home.ts'
import { ensureTestImages, probeDocker } from './test-images.ts'

const startWithinMs = 60_000
const refusedExitCode = 2
/** begun, done, next */
const effectsOfAll = 3

class OwnDaemon {
  readonly socketPath: string
  readonly #folder: string
  readonly #liveRestore: boolean
  #process: ChildProcess | undefined

  constructor(folder: string, liveRestore: boolean) {
    this.#folder = join(folder, liveRestore ? 'restoring' : 'plain')
    this.#liveRestore = liveRestore
    this.socketPath = `${this.#folder}.sock`
  }

  /** Returns when it answers. @throws Error with the end of its log */
  async start(): Promise<void> {
    const at = (name: string) => join(this.#folder, name)
    const places = ['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', `${this.#folder}.pid`]
    const alone = ['-H', `unix://${this.socketPath}`, '--bridge=none', '--iptables=false', '--ip6tables=false']
    const log = await open(`${this.#folder}.log`, 'a')
    const args = [...places, ...alone, ...(this.#liveRestore ? ['--live-restore'] : [])]
    // In a network namespace of its own: a daemon without a bridge removes docker0, which is the other daemon's.
    this.#process = spawn('unshare', ['--net', 'dockerd', ...args], { stdio: ['ignore', log.fd, log.fd] })
    this.#process.once('error', () => undefined)
    await log.close()
    const giveUpAt = Date.now() + startWithinMs
    while (!(await probeDocker(this)).ready) {
      if (this.#process.exitCode !== null || Date.now() > giveUpAt)
        throw new Error(await lastLines(`${this.#folder}.log`))
      await delay(100)
    }
  }

  async stop(): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await ended
  }

  /** With live-restore a stopped daemon leaves mounts, and its containerd. */
  async clear(): Promise<void> {
    await this.stop()
    const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '')
    for (const mount of mounts.filter((path) => path.startsWith(`${this.#folder}/`)).toReversed()) {
      await execa('umount', ['--lazy', mount])
    }
  }
}

function refuse(reason: string): never {
  process.stderr.write(`The restart of a daemon cannot be tried here: ${reason}\n`)
  process.exit(refusedExitCode)
}

async function restartUnderRollout(home: DurabilityHome, liveRestore: boolean): Promise<boolean> {
  const daemon = new OwnDaemon(home.folder, liveRestore)
  await daemon.start().catch((error: unknown) => refuse(`a second dockerd does not start (${String(error)})`))
  try {
    const imageMap = await ensureTestImages({ connection: daemon, cacheDirectory: home.environment.cacheDirectory })
    const options = { socket: `unix://${daemon.socketPath}` }
    const job = liveRestore ? 'restoring' : 'plain'
    const held = await holdRollout(home.environment, { job, provider: { name: 'docker', options }, imageMap })
    await daemon.stop()
    await daemon.start()
    await held.release()
    const { rollouts } = await held.job.result()
    const effects = await held.effects()
    await held.close()
    await jobWorkerEnded(job)
    const [rollout] = rollouts
    const came = rollout?.failure?.code ?? rollout?.state
    const expected = liveRestore ? 'graded' : 'sandbox-lost'
    const how = `${liveRestore ? 'with' : 'without'} live-restore`
    process.stdout.write(`${how}: ${came} (expected ${expected}), effects: ${effects.join(', ')}\n`)
    // Of those that began nothing began twice; without live-restore a turn may still be taken while the sandbox dies.
    const isOnce = new Set(effects).size === effects.length && (!liveRestore || effects.length === effectsOfAll)
    return came === expected && isOnce
  } finally {
    await daemon.clear()
  }
}

/** It sweeps last, for which it needs the daemon. */
async function jobWorkerEnded(job: string): Promise<void> {
  while ((await processesNaming(`{"job":"${job}","stateDirectory":"${home.folder}`)).length > 0) await delay(100)
}

if (process.getuid?.() !== 0) refuse('dockerd needs root')
const home = await openHome()
try {
  const plain = await restartUnderRollout(home, false)
  const restoring = await restartUnderRollout(home, true)
  process.exitCode = plain && restoring ? 0 : 1
} finally {
  await home.close()
}
