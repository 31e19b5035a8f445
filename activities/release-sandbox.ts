import { setTimeout as delay } from 'node:timers/promises'
import type { ReleaseInput } from '../protocol/activities.ts'
import type { JobOptions } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import type { JobContext } from './job-context.ts'
import { assertPlace } from './sandboxes.ts'
import type { SandboxAttachments } from './sandboxes.ts'
import { timing } from '../workflows/timing.ts'
import { sandboxName } from './sandbox-name.ts'
import type { SandboxIdentity } from './sandbox-name.ts'

const lookAgainMs = 500

export interface ReleaseDependencies {
  readonly context: Pick<JobContext, 'provider' | 'options'>
  readonly namespace: string
  readonly attachments: SandboxAttachments
  /** Default `timing.lateCreateMs`. */
  readonly lateCreateMs?: number
}

/**
 * Removes every sandbox that a rollout may have made, with everything that runs in it, and returns when they are
 * verified gone. Where the fate of opening is not known it looks again for a while: the create call of a dead worker may
 * still be carried out. Safe to run twice: by derived names, and what is gone is fine. One under the name that has another
 * owner is not this rollout's and is left alone. The last sandbox stays where the job's keep policy says so, until its
 * lifetime ends; sandboxes of separate verifiers never stay.
 */
export async function releaseSandbox(input: ReleaseInput, at: ReleaseDependencies): Promise<void> {
  const provider = await at.context.provider()
  if (input.place !== undefined) await assertPlace(provider, input.place)
  await Promise.all([
    ...(input.verifiers ?? []).map((verifier) => releaseOne(input, { ...verifier, role: 'verifier' }, at)),
    ...input.incarnations.map((incarnation) => releaseOne(input, { incarnation, role: 'main' }, at)),
  ])
}

async function releaseOne(
  input: ReleaseInput,
  which: Pick<SandboxIdentity, 'role' | 'incarnation' | 'phase'>,
  at: ReleaseDependencies,
): Promise<void> {
  const provider = await at.context.provider()
  const name = sandboxName({ namespace: at.namespace, rolloutId: rolloutId(input.job, input.rollout), ...which })
  at.attachments.forget(name)
  const isLast = which.incarnation === input.last
  if (isLast && which.role === 'main' && isKept(at.context.options.keep, input.state)) return
  const mayAppear = isLast && input.mayAppear
  const lookUntil = mayAppear ? Date.now() + (at.lateCreateMs ?? timing.lateCreateMs) : 0
  // One that was found may not be the last: more than one attempt to open may still be on its way.
  do {
    const found = await findUntil(() => provider.find(name), lookUntil)
    if (found === undefined || found.ownership.owner !== input.owner) return
    await provider.destroy(name)
  } while (Date.now() < lookUntil)
}

async function findUntil<Found>(find: () => Promise<Found | undefined>, until: number): Promise<Found | undefined> {
  for (;;) {
    const found = await find()
    if (found !== undefined || Date.now() >= until) return found
    await delay(lookAgainMs)
  }
}

function isKept(keep: JobOptions['keep'], state: ReleaseInput['state']): boolean {
  return keep === 'always' || (keep === 'on-failure' && state === 'failed')
}
