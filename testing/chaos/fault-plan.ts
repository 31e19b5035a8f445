import { seeded } from './seeded.ts'

/** Every kind of fault with what is done, in the order of the table. */
export const faultKinds = {
  'worker-killed': 'SIGKILL to a worker',
  'worker-stopped': 'SIGTERM to a worker',
  'worker-paused': 'SIGSTOP to a worker for longer than the heartbeat timeout, then SIGCONT',
  'server-killed': 'SIGKILL to the Temporal server',
  'server-paused': 'SIGSTOP to the Temporal server for seconds, then SIGCONT',
  'command-killed': 'SIGKILL to `rollcall run`; the same command is started again',
  'engine-away': 'the Engine does not answer for seconds, and every connection to it is cut',
  'sandbox-killed': 'all processes of a sandbox killed, or its container removed',
  'attachments-killed': 'the processes that attach workers to a sandbox killed',
  'supervisor-killed': 'the process that watches over one command of the agent killed',
} as const

export type FaultKind = keyof typeof faultKinds
export type ChaosProvider = 'local' | 'docker'

export interface PlannedFault {
  readonly kind: FaultKind
  /** Due when this share of all milestones is reached: a job that stands still meets no further fault. */
  readonly atShare: number
  /** At least this long after the fault before it. */
  readonly gapMs: number
  /** Chooses among what can be hit, from 0 to 1. */
  readonly target: number
  /** For faults that last. */
  readonly lastsMs: number
}

/** The last part of the job is left in peace, so that a job that can end does. */
const lastShare = 0.93

/** The same seed gives the same plan. Every kind occurs, as often as the others, in an order of chance. */
export function planFaults(options: { seed: number; count: number; kinds: readonly FaultKind[] }): PlannedFault[] {
  const random = seeded(options.seed)
  const kinds = Array.from({ length: options.count }, (_, index) => options.kinds[index % options.kinds.length])
  const shuffled = kinds.flatMap((kind) => (kind === undefined ? [] : [{ kind, order: random.next() }]))
  const shares = shuffled.map(() => random.next() * lastShare).toSorted((a, b) => a - b)
  return shuffled
    .toSorted((a, b) => a.order - b.order)
    .map(({ kind }, index) => ({
      kind,
      atShare: shares[index] ?? lastShare,
      gapMs: random.whole(300, 1_500),
      target: random.next(),
      lastsMs: kind === 'worker-paused' ? random.whole(7_500, 11_000) : random.whole(1_000, 7_000),
    }))
}

/** Kinds that a provider can be hit by. */
export function kindsFor(provider: ChaosProvider): FaultKind[] {
  const all: FaultKind[] = []
  for (const kind of Object.keys(faultKinds)) if (isFaultKind(kind)) all.push(kind)
  return provider === 'docker' ? all : all.filter((kind) => kind !== 'engine-away')
}

export function isFaultKind(name: string): name is FaultKind {
  return Object.hasOwn(faultKinds, name)
}
