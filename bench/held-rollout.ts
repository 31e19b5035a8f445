import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Taskset } from '../client/index.ts'
import type { ClientEnvironment, Job, RunOptions } from '../client/index.ts'
import { connectTemporal } from '../client/connect.ts'
import type { TemporalConnection } from '../client/connect.ts'
import { rolloutId } from '../protocol/names.ts'
import { processesNaming } from './process-usage.ts'

const lookEveryMs = 10
const giveUpAfterMs = 180_000

/** The process of the command that is held, as the host and as the sandbox number it. */
export interface HeldCommand {
  readonly hostPid: number
  readonly insidePid: number
  /** Clock ticks since the machine's start: a number that is used again has another. */
  readonly startTime: string
}

/** A job of one rollout whose first command runs until it is released; a second one follows it. */
export interface HeldRollout {
  readonly job: Job
  readonly command: HeldCommand
  /** What is at work in the sandbox now under that command's name. */
  find(): Promise<HeldCommand | undefined>
  /** The worker that serves the rollout now. */
  workerPid(): Promise<number | undefined>
  /** Waits until another worker than that serves it. */
  untilServedByOther(than: number): Promise<number>
  /** Waits until the server answers and says that a worker serves it. */
  untilServed(): Promise<number>
  release(): Promise<void>
  /** What the sandbox's commands have written, in order; each writes once. */
  effects(): Promise<string[]>
  untilEffect(line: string): Promise<void>
  close(): Promise<void>
}

export async function holdRollout(environment: ClientEnvironment, options: RunOptions): Promise<HeldRollout> {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-held-'))
  const shared = join(folder, 'effects')
  await mkdir(shared)
  // The sandbox's user may be another.
  await chmod(shared, 0o777)
  const sleep = `sleep ${1_000_000 + process.pid}.${Date.now()}`
  const taskset = await Taskset.load(await writeHeldTask(join(folder, 'held'), sleep))
  const mounts = [{ source: shared, target: '/effects', readOnly: false }]
  const job = await taskset.run({ environment, agent: 'script', runtime: { mounts }, ...options })
  const temporal = await connectTemporal({ ...environment, onProgress: () => {} })
  const effects = async () => {
    const text = await readFile(join(shared, 'effects'), 'utf8').catch(() => '')
    return text.split('\n').filter((line) => line !== '')
  }
  const untilEffect = async (line: string) => {
    await until(async () => ((await effects()).includes(line) ? line : undefined), `effect ${line}`)
  }
  const find = () => findCommand(sleep)
  const workerPid = () => servingWorker(temporal, job.id)
  await untilEffect('begun')
  return {
    job,
    command: await until(find, 'the command'),
    find,
    workerPid,
    untilServedByOther: (than) =>
      until(async () => {
        const pid = await workerPid().catch(() => undefined)
        return pid === than ? undefined : pid
      }, 'another worker'),
    untilServed: () => until(() => workerPid().catch(() => undefined), 'the server'),
    release: () => writeFile(join(shared, 'go'), ''),
    effects,
    untilEffect,
    close: async () => {
      await job.close()
      await temporal.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function writeHeldTask(folder: string, sleep: string): Promise<string> {
  for (const part of ['solution', 'tests']) await mkdir(join(folder, part), { recursive: true })
  const tell = (what: string) => `echo ${what} >> /effects/effects`
  const held = `${sleep} & ${tell('begun')}; until [ -e /effects/go ]; do sleep 0.02; done; ${tell('done')}; kill $!; wait`
  const turns = [held, tell('next')].map((command) => ({ calls: [{ tool: 'bash', args: { command } }] }))
  const environment = '[environment]\ndocker_image = "debian:bookworm-slim"\nnetwork_mode = "no-network"\n'
  await writeFile(join(folder, 'task.toml'), `schema_version = "1.4"\n${environment}`)
  await writeFile(join(folder, 'instruction.md'), 'Runs one long command, then a short one.\n')
  await writeFile(join(folder, 'solution/turns.yaml'), JSON.stringify({ turns }))
  await writeFile(join(folder, 'solution/solve.sh'), '#!/bin/sh\ntrue\n')
  await writeFile(join(folder, 'tests/test.sh'), '#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n')
  return folder
}

/** By what it sleeps, which no other process of this machine does as long. */
async function findCommand(sleep: string): Promise<HeldCommand | undefined> {
  for (const hostPid of await processesNaming(sleep.replace(' ', '\0'))) {
    const [status, stat] = await Promise.all([
      readFile(`/proc/${hostPid}/status`, 'utf8').catch(() => ''),
      readFile(`/proc/${hostPid}/stat`, 'utf8').catch(() => ''),
    ])
    const insidePid = Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1])
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3]
    if (startTime !== undefined) return { hostPid, insidePid, startTime }
  }
  return undefined
}

/** As far as the server knows: the worker to which it gave the rollout's turns. */
async function servingWorker({ client }: TemporalConnection, job: string): Promise<number | undefined> {
  /** temporal.api.enums.v1.PendingActivityState */
  const started = 2
  const { raw } = await client.workflow.getHandle(rolloutId(job, 'held.script.1')).describe()
  const turns = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'runTurns')
  if (turns === undefined || Number(turns.state) !== started) return undefined
  const pid = /^(\d+)@/.exec(turns.lastWorkerIdentity ?? '')?.[1]
  return pid === undefined ? undefined : Number(pid)
}

async function until<Found>(look: () => Promise<Found | undefined>, what: string): Promise<Found> {
  const giveUpAt = Date.now() + giveUpAfterMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > giveUpAt) throw new Error(`${what} did not come within ${giveUpAfterMs / 1000} s`)
    await delay(lookEveryMs)
  }
}
