import { spawn } from 'node:child_process'
import { mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lastLines } from '../client/server/launch.ts'
import { withLock } from '../client/server/lock.ts'
import { probeDocker } from './test-images.ts'

export const dockerSocket = '/var/run/docker.sock'

const startWithinMs = 60_000
const pollMs = 200

/**
 * Returns once an Engine answers on the usual socket, starting dockerd as a daemon when none runs. A dockerd that runs
 * and does not answer yet is waited for: two of them on one data directory would destroy it. Throws an Error that says
 * why none came up.
 */
export async function ensureDockerd(options: {
  cacheDirectory: string
  onProgress: (line: string) => void
}): Promise<void> {
  if (await answers()) return
  const onWait = () => options.onProgress('another process is starting dockerd, waiting for it')
  const lock = { path: join(options.cacheDirectory, 'dockerd.lock'), waitMs: startWithinMs, onWait }
  await withLock(lock, async () => {
    if (await answers()) return
    const logFile = join(options.cacheDirectory, 'dockerd.log')
    if (await isRunning()) options.onProgress('dockerd runs but does not answer yet, waiting for it')
    else await startDaemon(logFile, options.onProgress)
    await waitUntilItAnswers(logFile)
  })
}

async function answers(): Promise<boolean> {
  return (await probeDocker({ socketPath: dockerSocket })).ready
}

/** Whether any process of this machine is a dockerd, whoever started it. */
async function isRunning(): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const names = pids.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => ''))
  return (await Promise.all(names)).some((name) => name.trim() === 'dockerd')
}

async function startDaemon(logFile: string, onProgress: (line: string) => void): Promise<void> {
  onProgress(`starting dockerd, log in ${logFile}`)
  await mkdir(join(logFile, '..'), { recursive: true })
  const log = await open(logFile, 'w')
  try {
    const daemon = spawn('dockerd', [], { detached: true, stdio: ['ignore', log.fd, log.fd] })
    daemon.once('error', (error) => onProgress(`dockerd cannot be started: ${error.message}`))
    daemon.unref()
  } finally {
    await log.close()
  }
}

async function waitUntilItAnswers(logFile: string): Promise<void> {
  const deadline = Date.now() + startWithinMs
  while (Date.now() < deadline) {
    if (await answers()) return
    if (!(await isRunning())) throw new Error(`dockerd ended at once: ${await lastLines(logFile)}`)
    await sleep(pollMs)
  }
  throw new Error(`dockerd does not answer on ${dockerSocket} within ${startWithinMs / 1000} s; see ${logFile}`)
}
