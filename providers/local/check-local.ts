import type { Problem } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'

export interface LocalConsent {
  /** `--local-network`. */
  readonly allowNetwork: boolean
  /** `--provider-arg limits=ignore`. */
  readonly ignoreLimits: boolean
}

/** What this provider cannot enforce, as far as the user has not consented to do without. */
export function localProblems(spec: SandboxSpec, consent: LocalConsent): Problem[] {
  const limits = consent.ignoreLimits ? [] : unenforcedLimits(spec).map(limitProblem)
  return [...limits, ...gpuProblems(spec), ...networkProblems(spec, consent)]
}

/** Stated limits that nothing enforces: "memoryMiB 2048". */
export function unenforcedLimits(spec: SandboxSpec): { name: string; value: number }[] {
  const { cpus, memoryMiB, storageMiB, pids } = spec.resources
  return Object.entries({ cpus, memoryMiB, storageMiB, pids }).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, value }],
  )
}

function limitProblem(limit: { name: string; value: number }): Problem {
  return {
    field: `resources.${limit.name}`,
    value: String(limit.value),
    expected: 'no limit, since local sandboxes enforce none; run without it by --provider-arg limits=ignore, or use --provider docker',
  }
}

function gpuProblems(spec: SandboxSpec): Problem[] {
  const { gpus } = spec.resources
  if (gpus === undefined || gpus.count === 0) return []
  return [{ field: 'resources.gpus', value: String(gpus.count), expected: 'none, since local sandboxes have no GPU' }]
}

function networkProblems(spec: SandboxSpec, consent: LocalConsent): Problem[] {
  const { network } = spec
  if (network.mode === 'allowlist') {
    return [{ field: 'network', value: network.hosts.join(', '), expected: 'none or public; local cannot filter hosts' }]
  }
  if (network.mode === 'none' || !spec.networkAsked || consent.allowNetwork) return []
  return [
    {
      field: 'network',
      value: 'public',
      expected:
        "none, since a local sandbox with network reaches everything that listens on this host's loopback; consent with --local-network, or use --provider docker",
    },
  ]
}
