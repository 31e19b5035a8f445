import type { FoundSandbox } from '../providers/contract/provider.ts'

/** Younger ones are left alone: their workflow may not have told anybody of them yet. */
export const minimumAgeMs = 2 * 60_000

/** What the namespace of the sweep says about the workflow that a sandbox is labelled with, described without run id. */
export type Owner =
  /** `incarnation`: the one it lives in now, where it is known to have had more than one. */
  | { readonly state: 'open'; readonly incarnation?: number }
  /** `outcome`: what its search attribute RollcallState says, where there is one. */
  | { readonly state: 'closed'; readonly outcome?: string }
  | { readonly state: 'unknown' }
  /** A pool that runs says that the sandbox is none of its own: of an earlier run, or left when it could not be removed. */
  | { readonly state: 'disowned' }
  /** The sandbox belongs to another namespace, of which nothing is known here. */
  | { readonly state: 'foreign' }

export interface SweepPolicy {
  readonly nowMs: number
  /** Default `minimumAgeMs`; 0 where it is known that nobody makes sandboxes any more. */
  readonly minimumAgeMs?: number
  /** Also those that are to be kept, of workflows that are over. Default false. */
  readonly takeKept?: boolean
}

export interface SweepDecision {
  readonly remove: boolean
  /** Part of a sentence: "its rollout is over". */
  readonly because: string
}

/** Whether a sandbox goes (design §7). Pure: the same facts give the same decision. */
export function judgeSandbox(sandbox: FoundSandbox, owner: Owner, policy: SweepPolicy): SweepDecision {
  const { ownership, createdMs } = sandbox
  const isExpired = ownership.expires <= policy.nowMs
  if (owner.state === 'foreign') {
    return isExpired ? remove('it is of another namespace and has expired') : leave('it is of another namespace')
  }
  if (owner.state === 'open' && !isSuperseded(sandbox, owner))
    return leave(`its ${ownership.role === 'pool' ? 'pool' : 'rollout'} runs`)
  if (policy.nowMs - createdMs < (policy.minimumAgeMs ?? minimumAgeMs)) return leave('it is younger than two minutes')
  if (owner.state === 'open') return remove(`its rollout lives in incarnation ${owner.incarnation} by now`)
  if (owner.state === 'disowned') return remove('its pool does not know it')
  if (isExpired) return remove('it has expired')
  const owned = ownership.role === 'pool' ? 'pool' : 'rollout'
  const end = owner.state === 'closed' ? `its ${owned} is over` : `the server does not know its ${owned}`
  if (!isKept(sandbox, owner)) return remove(end)
  return policy.takeKept === true ? remove(`${end}, and it was kept`) : leave('it is kept for a look inside')
}

/** A later incarnation never looks back: its beginning was the end of the earlier sandbox. */
function isSuperseded({ ownership }: FoundSandbox, { incarnation = 1 }: { incarnation?: number }): boolean {
  return ownership.incarnation < incarnation
}

/** What is not known counts as a failure: a terminated rollout is worth a look inside. */
function isKept({ ownership }: FoundSandbox, owner: Owner): boolean {
  const outcome = owner.state === 'closed' ? owner.outcome : undefined
  if (ownership.keep === 'on-failure') return outcome !== 'graded' && outcome !== 'cancelled'
  return ownership.keep === 'always'
}

function remove(because: string): SweepDecision {
  return { remove: true, because }
}

function leave(because: string): SweepDecision {
  return { remove: false, because }
}
