import { z } from 'zod'
import type { Failure } from './failure.ts'
import { longestTimerMs } from './longest-timer.ts'
import { runtimeConfigSchema } from './runtime-config.ts'

/** Schemas and messages of pools: what crosses between clients, the pool workflow and workers. Workflows import only the types. */

/** What a pool's and a profile's name must look like: together they are a workflow id, `pool.<pool>.<profile>`. */
export const poolNamePattern = /^[a-z0-9][a-z0-9_-]{0,49}$/i

const count = (least: number, most: number) => {
  const expected = `a whole number from ${least} to ${most}`
  return z.int(expected).min(least, expected).max(most, expected)
}
const time = (least: number) => {
  const expected = `a whole number of milliseconds, ${least} or more`
  return z.int(expected).min(least, expected).max(longestTimerMs, 'at most 24.8 days')
}

/** Limits that a profile says itself, with its own names. */
const namedElsewhere = {
  acquireTimeoutMs: 'acquireTimeoutMs',
  execTimeoutMs: 'execTimeoutMs',
  idleTimeoutMs: 'idleTimeoutMs',
  lifetimeMs: 'maxLifetimeMs',
} as const

/** A named runtime with the size of its pool. Every field but `name` and `provider` has a default. */
export const profileSchema = z
  .strictObject({
    name: z.string().regex(poolNamePattern, 'a name of letters, digits, - and _, at most 50 characters'),
    /** `options`: the provider's own settings, checked by its adapter. */
    provider: z.strictObject({
      name: z.string('the name of a provider').min(1, 'the name of a provider'),
      options: z.record(z.string(), z.string()).default({}),
    }),
    /** What its sandboxes are. Of its limits only `startTimeoutMs` (default 10 min): the others are the profile's own. */
    runtime: runtimeConfigSchema.default({}),
    /** Image names to replace: mirrors, air-gapped sites. */
    imageMap: z.record(z.string(), z.string()).default({}),
    slotsPerSandbox: count(1, 64).default(1),
    /**
     * Who works in a slot. `own`: a user of the slot's own, so that the slot can be reset for the next holder.
     * `sandbox`: the sandbox's user, often root; only with one slot per sandbox, and the sandbox is replaced for the next
     * holder. Default: `sandbox` with one slot per sandbox, else `own`.
     */
    slotUser: z.enum(['own', 'sandbox'], '"own" or "sandbox"').optional(),
    /** How many are kept running when nobody needs any. */
    minSandboxes: count(0, 1_000).default(0),
    maxSandboxes: count(1, 1_000).default(5),
    /** A sandbox that nobody has had a lease in for this long goes, down to `minSandboxes`; files that were kept go, too. */
    idleTimeoutMs: time(1_000).default(120_000),
    /** A sandbox gets no new leases near its end, and dies at it. */
    maxLifetimeMs: time(60_000).default(3_600_000),
    /** How long an acquire waits. */
    acquireTimeoutMs: time(1).default(60_000),
    /** For a call that names no timeout of its own. */
    execTimeoutMs: time(1).default(30_000),
    /** Absolute, in the sandbox: slots have their workspaces below it. */
    workspaceBase: z
      .string()
      .regex(/^\/[^\0\n']*[^\0\n'/]$/, 'an absolute path')
      .default('/workspace'),
  })
  .superRefine((profile, context) => {
    const refuse = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if (profile.minSandboxes > profile.maxSandboxes) {
      refuse(['minSandboxes'], `at most maxSandboxes, which is ${profile.maxSandboxes}`)
    }
    if (profile.slotUser === 'sandbox' && profile.slotsPerSandbox > 1) {
      refuse(['slotUser'], '"own" where a sandbox has several slots')
    }
    if (slotUserOf(profile) === 'own' && profile.runtime.user) {
      refuse(['runtime', 'user'], 'nothing, since each slot has a user of its own (slotUser: sandbox uses this one)')
    }
    if (profile.workspaceBase.split('/').some((part) => part === '.' || part === '..')) {
      refuse(['workspaceBase'], 'an absolute path without . and ..')
    }
    if (
      slotUserOf(profile) === 'own' &&
      /^\/(tmp|var\/tmp|dev|run|var\/lock|proc|sys)(\/|$)/.test(profile.workspaceBase)
    ) {
      refuse(['workspaceBase'], 'no folder that all users share, or that the system makes')
    }
    for (const [limit, own] of Object.entries(namedElsewhere)) {
      if (profile.runtime.limits?.[limit as keyof typeof namedElsewhere] != null) {
        refuse(['runtime', 'limits', limit], `nothing here: a profile says ${own} itself`)
      }
    }
    for (const [name, value] of Object.entries(profile.runtime.env ?? {})) {
      if (value?.includes('${'))
        refuse(['runtime', 'env', name], 'plain text: values of the host go into runtime.secrets')
    }
  })
  .transform((profile) => ({ ...profile, slotUser: slotUserOf(profile) }))

/** A profile with all its defaults. */
export type Profile = z.infer<typeof profileSchema>
/** A profile as code writes it. */
export type ProfileInput = z.input<typeof profileSchema>

function slotUserOf(profile: { slotsPerSandbox: number; slotUser?: 'own' | 'sandbox' | undefined }): 'own' | 'sandbox' {
  return profile.slotUser ?? (profile.slotsPerSandbox > 1 ? 'own' : 'sandbox')
}

/** The right to use one slot of a sandbox. Plain JSON; whoever knows it may use it until it is released or has expired. */
export interface SlotLease {
  /** A uuid made in the pool workflow: a release or renewal counts only with it and the holder. */
  readonly id: string
  /** Workflow id of the pool. */
  readonly pool: string
  /** Name of the profile. */
  readonly profile: string
  /** Who holds it, as the acquire said. The same holder gets the same lease again. */
  readonly holder: string
  readonly provider: { readonly name: string; readonly options: Readonly<Record<string, string>> }
  readonly place: string
  /** Reach queue of that place, for activities. */
  readonly queue: string
  /** Name of the sandbox. */
  readonly sandbox: string
  /** From 1: how many sandboxes the pool has begun when this one was, itself included. */
  readonly sandboxNumber: number
  /** `specHash` of the profile. */
  readonly spec: string
  /** What it was made from, as the provider says it. */
  readonly image: string
  /** Within the sandbox, from 0. */
  readonly slot: number
  /** The slot's own user; absent: the sandbox's user. */
  readonly user?: { readonly name: string; readonly uid: number }
  /** Absolute; the user's own, and its HOME where it has one. */
  readonly workspace: string
  /** Directory that the sandbox's own commands start in. */
  readonly workdir: string
  /**
   * Scope and phase of every exec in the slot. The scope is the slot's and the phase grows with each lease: the runner
   * refuses what still comes from earlier ones (`acknowledged`), and never runs it.
   */
  readonly scope: string
  readonly phase: number
  /** For a call that names no timeout of its own. */
  readonly execTimeoutMs: number
  /** The workspace has files of an earlier lease of this holder. */
  readonly hasFiles: boolean
  /** Absolute, by the server's clock; renewed by the holder. Absent: as long as the workflow `workflow` runs. */
  readonly expiresAtMs?: number
  /** Workflow that the lease lives as long as. */
  readonly workflow?: string
  /** When the sandbox dies at the latest. */
  readonly sandboxEndsAtMs: number
}

export interface SlotRequest {
  /** Chosen by who asks, at most 400 characters; the same holder gets the same lease, or its place in the queue, again. */
  readonly holder: string
  /** How long the lease lives without being renewed. Default 60 s. Not with `workflow`. */
  readonly leaseMs?: number
  /** The lease lives as long as this workflow runs, instead. */
  readonly workflow?: string
  /**
   * The holder takes the sandbox as a whole, as any of its users, so that it is replaced afterwards. Only with one slot per
   * sandbox.
   */
  readonly whole?: boolean
  /** Only a sandbox that lives at least this much longer will do. Default 0. */
  readonly neededMs?: number
}

/** For several holders at once: a server takes few updates of one workflow at a time. */
export interface AcquireRequest {
  readonly slots: readonly SlotRequest[]
  /** How long the answer may take when nobody of them can be served: at most 2 s. Default 0. */
  readonly waitMs?: number
}

/** For one holder. */
export type AcquireAnswer =
  | { readonly holder: string; readonly state: 'granted'; readonly lease: SlotLease }
  /**
   * Ask again, soon: the place in the queue is kept under the holder's id for 10 s. `position` counts from 1. `hindrance`:
   * why the latest attempt to make a sandbox failed.
   */
  | { readonly holder: string; readonly state: 'queued'; readonly position: number; readonly hindrance?: Failure }
  /** No use asking again: the pool stops, or cannot make sandboxes of this profile. */
  | { readonly holder: string; readonly state: 'refused'; readonly failure: Failure }

export interface LeaseRef {
  readonly id: string
  readonly holder: string
}

/** `expiresAtMs` absent: it lives as long as its workflow. `lost`: nobody holds it any longer, for this reason. */
export type RenewAnswer =
  | { readonly id: string; readonly state: 'held'; readonly expiresAtMs?: number }
  | { readonly id: string; readonly state: 'lost'; readonly reason: LeaseEnd }

export type LeaseEnd = 'released' | 'expired' | 'sandbox-lost' | 'unknown'

export interface ReleaseRequest {
  readonly holder: string
  /** Absent: leaves the queue, and ends a lease only that lives as long as `workflow`. */
  readonly id?: string
  readonly workflow?: string
  /** Whether the files go at once; else they stay for the same holder until somebody else needs the slot. */
  readonly reset: boolean
  /** The sandbox did not answer: the pool looks after it at once, and does not give it to anybody before. */
  readonly suspect?: boolean
}

/** `not-held`: released already, expired, or never its own. Nothing was changed. */
export type ReleaseAnswer = 'released' | 'not-held'

export interface ResizeRequest {
  readonly minSandboxes?: number
  readonly maxSandboxes?: number
}

export interface StopRequest {
  /** Ends leases that are held; without it the pool waits for them, and gives out no more. */
  readonly purge: boolean
}

export type SandboxState =
  | 'creating'
  | 'ready'
  /** Gets no new leases, and goes when the last one has ended. */
  | 'draining'
  | 'removing'

export interface PooledSandboxStatus {
  /** Absent before it is made. */
  readonly name?: string
  readonly number: number
  readonly state: SandboxState
  readonly place?: string
  /** Why it drains or goes. */
  readonly because?: string
  readonly endsAtMs?: number
  readonly slots: readonly { readonly slot: number; readonly state: SlotState; readonly holder?: string }[]
}

export type SlotState =
  | 'free'
  | 'leased'
  /** Free for the holder whose files it has; reset for others. */
  | 'kept'
  | 'resetting'

export interface PoolStatus {
  readonly pool: string
  readonly profile: Profile
  /** `draining`: stops when the last lease has ended. */
  readonly state: 'running' | 'draining' | 'stopping' | 'ended'
  readonly minSandboxes: number
  readonly maxSandboxes: number
  readonly sandboxes: readonly PooledSandboxStatus[]
  readonly slots: { readonly total: number; readonly free: number; readonly leased: number; readonly kept: number }
  /** Holders that wait, the first first. */
  readonly queue: readonly string[]
  readonly counts: PoolCounts
  /** Why the latest attempt to make a sandbox failed; gone with the next one that succeeds. */
  readonly hindrance?: Failure
}

/** Since the pool was started. */
export interface PoolCounts {
  readonly created: number
  readonly removed: number
  /** Sandboxes that died or did not answer. */
  readonly lost: number
  readonly granted: number
  readonly released: number
  readonly expired: number
  readonly resets: number
}

/** Whether a sandbox with these labels is the pool's: asked by the sweep. */
export interface OwnedQuestion {
  readonly owner: string
  readonly sandboxNumber: number
}
