import { setTimeout as delay } from 'node:timers/promises'
import type { FoundSandbox } from '../../providers/contract/provider.ts'
import { lookInside } from './chaos-place.ts'
import { runVariable } from './chaos-tasks.ts'
import type { ChaosSite } from './chaos-site.ts'
import type { PlannedFault } from './fault-plan.ts'
import type { KeptProcess } from './kept-process.ts'
import { signalProcess } from './processes.ts'
import type { LivingProcess } from './processes.ts'

export interface Hit {
  /** What was hit, for the log. */
  readonly what: string
  /** The rollout whose sandbox was hit. */
  readonly rollout?: string
  /** Ends a fault that lasts. */
  readonly undo?: () => Promise<void>
}

export interface Target {
  readonly site: ChaosSite
  readonly job: string
  readonly command: KeptProcess
  /** Workers that are paused now. */
  readonly paused: Set<number>
  /** Rollouts whose sandbox was killed: each loses only one, so that none runs out of incarnations. */
  readonly lost: Set<string>
}

/** Brings one fault about. @returns undefined when there is nothing now that it could hit */
export async function inject(fault: PlannedFault, at: Target): Promise<Hit | undefined> {
  switch (fault.kind) {
    case 'worker-killed':
      return await signalWorker(fault, 'SIGKILL', at)
    case 'worker-stopped':
      return await signalWorker(fault, 'SIGTERM', at)
    case 'worker-paused':
      return await pauseWorker(fault, at)
    case 'server-killed':
      return await killServer(at)
    case 'server-paused':
      return await pauseServer(fault, at)
    case 'command-killed':
      at.command.signal('SIGKILL')
      return { what: 'rollcall run' }
    case 'engine-away':
      return sendEngineAway(at)
    case 'sandbox-killed':
      return await killSandbox(fault, at)
    case 'attachments-killed':
      return await killInside(fault, at, (view) => view.attachments)
    case 'supervisor-killed':
      return await killInside(fault, at, (view) => view.supervisors.slice(0, 1))
  }
}

function choose<Item>(items: readonly Item[], { target }: PlannedFault): Item | undefined {
  return items[Math.floor(target * items.length)]
}

async function chooseWorker(fault: PlannedFault, { site, job, paused }: Target): Promise<LivingProcess | undefined> {
  const workers = await site.workers(job)
  return choose(
    workers.filter(({ pid }) => !paused.has(pid)),
    fault,
  )
}

async function signalWorker(fault: PlannedFault, signal: NodeJS.Signals, at: Target): Promise<Hit | undefined> {
  const worker = await chooseWorker(fault, at)
  if (worker === undefined || !signalProcess(worker.pid, signal)) return undefined
  return { what: describeWorker(worker) }
}

/** One at a time: another one serves meanwhile. */
async function pauseWorker(fault: PlannedFault, at: Target): Promise<Hit | undefined> {
  const { site, job, paused } = at
  if (paused.size > 0 || (await site.workers(job)).length < 2) return undefined
  const worker = await chooseWorker(fault, at)
  if (worker === undefined || !signalProcess(worker.pid, 'SIGSTOP')) return undefined
  paused.add(worker.pid)
  const undo = async () => {
    paused.delete(worker.pid)
    signalProcess(worker.pid, 'SIGCONT')
  }
  return { what: `${describeWorker(worker)} for ${fault.lastsMs} ms`, undo }
}

function describeWorker({ pid, argv }: LivingProcess): string {
  return `${argv[1]?.endsWith('/cli/main.ts') ? 'rollcall worker' : 'the job’s own worker'} ${pid}`
}

async function killServer(at: Target): Promise<Hit | undefined> {
  const pid = await signalServer('SIGKILL', at)
  return pid === undefined ? undefined : { what: `server ${pid}` }
}

async function pauseServer({ lastsMs }: PlannedFault, at: Target): Promise<Hit | undefined> {
  const pid = await signalServer('SIGSTOP', at)
  if (pid === undefined) return undefined
  return { what: `server ${pid} for ${lastsMs} ms`, undo: async () => void signalProcess(pid, 'SIGCONT') }
}

async function signalServer(signal: NodeJS.Signals, { site }: Target): Promise<number | undefined> {
  const pid = await site.serverPid()
  const isThere = (await site.processes()).some((process) => process.pid === pid)
  return pid !== undefined && isThere && signalProcess(pid, signal) ? pid : undefined
}

function sendEngineAway({ site: { proxy } }: Target): Hit | undefined {
  if (proxy === undefined) return undefined
  proxy.goAway()
  return { what: 'the Engine’s socket', undo: () => proxy.comeBack() }
}

/** Half of Docker's are removed, the others killed: what is found then differs. */
async function killSandbox(fault: PlannedFault, at: Target): Promise<Hit | undefined> {
  const sandbox = choose(await runningSandboxes(at, ({ ownership }) => !at.lost.has(ownership.workflow)), fault)
  const mainPid = sandbox && (await at.site.place.mainPid(sandbox))
  if (sandbox === undefined || mainPid === undefined) return undefined
  at.lost.add(sandbox.ownership.workflow)
  const { place } = at.site
  if (place.remove !== undefined && (fault.target * 1_000) % 2 < 1) {
    await place.remove(sandbox)
    return { what: `removed ${sandbox.name}`, rollout: sandbox.ownership.workflow }
  }
  signalProcess(mainPid, 'SIGKILL')
  return { what: `killed ${sandbox.name}`, rollout: sandbox.ownership.workflow }
}

async function killInside(
  fault: PlannedFault,
  at: Target,
  which: (view: Awaited<ReturnType<typeof lookInside>>) => readonly LivingProcess[],
): Promise<Hit | undefined> {
  for (const sandbox of rotated(await runningSandboxes(at, () => true), fault)) {
    const mainPid = await at.site.place.mainPid(sandbox)
    if (mainPid === undefined) continue
    const victims = which(await lookInside(mainPid, runVariable)).filter(({ pid }) => signalProcess(pid, 'SIGKILL'))
    if (victims.length === 0) continue
    return { what: `${victims.length} in ${sandbox.name}`, rollout: sandbox.ownership.workflow }
  }
  return undefined
}

async function runningSandboxes(
  { site, job }: Target,
  wanted: (sandbox: FoundSandbox) => boolean,
): Promise<FoundSandbox[]> {
  const sandboxes = await site.place.sandboxes(job)
  return sandboxes
    .filter((sandbox) => sandbox.state === 'running' && wanted(sandbox))
    .toSorted((a, b) => a.name.localeCompare(b.name))
}

function rotated<Item>(items: readonly Item[], { target }: PlannedFault): Item[] {
  const from = Math.floor(target * items.length)
  return [...items.slice(from), ...items.slice(0, from)]
}

/** Tries until there is something to hit, for a while. */
export async function injectWithin(fault: PlannedFault, at: Target, withinMs: number): Promise<Hit | undefined> {
  for (const deadline = Date.now() + withinMs; ;) {
    const hit = await inject(fault, at)
    if (hit !== undefined || Date.now() > deadline) return hit
    await delay(100)
  }
}
