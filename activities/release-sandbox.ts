import type { ReleaseInput } from '../protocol/activities.ts'
import type { JobOptions } from '../protocol/job.ts'
import { rolloutId } from '../protocol/names.ts'
import type { JobContext } from './job-context.ts'
import type { SandboxAttachments } from './sandboxes.ts'
import { sandboxName } from './sandbox-name.ts'

/**
 * Removes every sandbox that a rollout may have made, with everything that runs in it, and returns when they are
 * verified gone. Safe to run twice: by derived names, and what is gone is fine. One under the name that has another
 * owner is not this rollout's and is left alone. The last sandbox stays where the job's keep policy says so, until its
 * lifetime ends.
 */
export async function releaseSandbox(
  input: ReleaseInput,
  at: { context: JobContext; namespace: string; attachments: SandboxAttachments },
): Promise<void> {
  const provider = await at.context.provider()
  const incarnations = Array.from({ length: input.incarnations }, (_, index) => index + 1)
  await Promise.all(
    incarnations.map(async (incarnation) => {
      const workflow = rolloutId(input.job, input.rollout)
      const name = sandboxName({ namespace: at.namespace, rolloutId: workflow, role: 'main', incarnation })
      at.attachments.forget(name)
      if (incarnation === input.incarnations && isKept(at.context.options.keep, input.state)) return
      const found = await provider.find(name)
      if (found === undefined || found.ownership.owner !== input.owner) return
      await provider.destroy(name)
    }),
  )
}

function isKept(keep: JobOptions['keep'], state: ReleaseInput['state']): boolean {
  return keep === 'always' || (keep === 'on-failure' && state === 'failed')
}
