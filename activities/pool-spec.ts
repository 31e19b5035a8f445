import type { Profile } from '../protocol/pool.ts'
import type { Limits, SandboxSpec } from '../providers/contract/runtime.ts'
import { networkOf, present } from './resolve-spec.ts'

const defaultStartMs = 600_000

/** The order for every sandbox of a profile: its own, with nothing of any task. */
export function poolSpec(profile: Profile): SandboxSpec {
  const { runtime, imageMap } = profile
  return {
    image: runtime.image ? { type: 'name', name: runtime.image } : { type: 'default' },
    imageMap,
    resources: present(runtime.resources ?? {}),
    limits: limitsOf(profile),
    ...networkOf(runtime),
    env: present(runtime.env ?? {}) as Record<string, string>,
    secrets: runtime.secrets ?? [],
    mounts: runtime.mounts ?? [],
    // A program that one holder leaves set-uid with a neighbour would have the rights of the slot's next holder.
    ...(profile.slotUser === 'own' ? { noNewPrivileges: true } : {}),
    ...(runtime.user ? { user: runtime.user } : {}),
    ...(runtime.workdir ? { workdir: runtime.workdir } : {}),
  }
}

/** The pool ends idle sandboxes itself, so that their provider knows of no idle limit. */
function limitsOf({ runtime, acquireTimeoutMs, execTimeoutMs, maxLifetimeMs }: Profile): Limits {
  const startTimeoutMs = runtime.limits?.startTimeoutMs ?? defaultStartMs
  return { acquireTimeoutMs, execTimeoutMs, startTimeoutMs, lifetimeMs: maxLifetimeMs }
}
