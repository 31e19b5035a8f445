import type { Client } from '@temporalio/client'
import pLimit from 'p-limit'
import { namespaceUuid } from '../client/connect.ts'
import type { FoundSandbox, Ownership, Provider } from '../providers/contract/provider.ts'
import { sandboxOwner } from './sandbox-owner.ts'
import { judgeSandbox } from './sweep-rules.ts'
import type { SweepPolicy } from './sweep-rules.ts'

/** A place may hold thousands, and its provider serves running rollouts meanwhile. */
const sandboxesAtOnce = 4

export interface Sweep {
  readonly client: Client
  readonly provider: Provider
  readonly policy: SweepPolicy
  /** Only those whose labels match. Default: every one at the provider's place. */
  readonly labels?: Partial<Ownership>
  /** Say what would go, and touch nothing. */
  readonly dryRun?: boolean
  /** Told of each sandbox that goes, before it does. */
  readonly log: (line: string) => void
}

/** What became of one sandbox. */
export interface SweptSandbox {
  readonly provider: string
  readonly name: string
  readonly ownership: Ownership
  /** `failed`: it was to go, and could not be removed. */
  readonly action: 'removed' | 'left' | 'failed'
  readonly because: string
}

/**
 * Removes what nobody owns any longer at one place, by the rules of `judgeSandbox`. What is not labelled as Rollcall's is
 * not even listed. Several sweeps at once do no harm.
 *
 * Safe beside running rollouts although nothing is locked between the look and the removal. A closed run never opens
 * again, so its sandbox can gain an owner only through a new run of the same workflow id. That run has another owner
 * nonce, and adopts nothing that is labelled with the old one. It could make its own sandbox, under the same derived
 * name, only after the old one is gone: so name, owner and provider's id are looked at again right before the removal,
 * and what remains is that somebody else removes the old and that run makes the new one between two consecutive calls
 * here. An operator's reset may revive the run itself, nonce included, in that moment: then its sandbox is lost, and said
 * to be. A sandbox of two minutes or less is left, as its making and its owner's record may still be on their way.
 *
 * @throws whatever the server's or the provider's silence is, before or while it works: without their word nothing goes.
 *   A single sandbox that cannot be removed does not stop the others.
 */
export async function sweepPlace(sweep: Sweep): Promise<SweptSandbox[]> {
  const namespace = await namespaceUuid(sweep.client)
  const found = await sweep.provider.list(sweep.labels ?? {})
  const limit = pLimit(sandboxesAtOnce)
  const silence = new AbortController()
  const sweepUnlessSilent = async (sandbox: FoundSandbox): Promise<SweptSandbox[]> => {
    if (silence.signal.aborted) return []
    try {
      return [await sweepOne({ sweep, namespace, sandbox })]
    } catch (error) {
      silence.abort(error)
      return []
    }
  }
  const swept = await Promise.all(found.map((sandbox) => limit(() => sweepUnlessSilent(sandbox))))
  silence.signal.throwIfAborted()
  return swept.flat()
}

/**
 * Removes what a job has left whose rollouts are all closed: after Temporal's *terminate* nobody else does. Those that
 * are to be kept stay until they expire.
 * @returns how many were found; the caller looks again until there are none
 */
export async function sweepJob(at: {
  job: string
  client: Client
  provider: Provider
  log: (line: string) => void
}): Promise<number> {
  const { job, client, provider, log } = at
  const labels = { namespace: await namespaceUuid(client), job }
  // Nobody makes sandboxes for it any more, so that none is too young to be judged.
  const policy = { nowMs: Date.now(), minimumAgeMs: 0 }
  const swept = await sweepPlace({ client, provider, labels, policy, log })
  return swept.filter(({ action }) => action !== 'left').length
}

interface Candidate {
  readonly sweep: Sweep
  readonly namespace: string
  readonly sandbox: FoundSandbox
}

async function sweepOne(candidate: Candidate): Promise<SweptSandbox> {
  const { sweep, namespace, sandbox } = candidate
  const { ownership, name } = sandbox
  const swept = { provider: sweep.provider.name, name, ownership }
  const owner = await sandboxOwner({ client: sweep.client, namespace, ownership })
  const { remove, because } = judgeSandbox(sandbox, owner, sweep.policy)
  if (!remove) return { ...swept, action: 'left', because }
  if (sweep.dryRun === true) return { ...swept, action: 'removed', because }
  try {
    if (!(await isStillThere(candidate))) return { ...swept, action: 'left', because: 'it has just gone' }
    sweep.log(`removing ${name} of ${ownership.workflow}: ${because}`)
    await sweep.provider.destroy(name)
    return { ...swept, action: 'removed', because }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    sweep.log(`${name} of ${ownership.workflow} could not be removed: ${reason}`)
    return { ...swept, action: 'failed', because: reason }
  }
}

async function isStillThere({ sweep, sandbox }: Candidate): Promise<boolean> {
  const now = await sweep.provider.find(sandbox.name)
  return now !== undefined && now.id === sandbox.id && now.ownership.owner === sandbox.ownership.owner
}
