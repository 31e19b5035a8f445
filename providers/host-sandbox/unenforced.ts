import type { Problem } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'

/** What a provider says of itself, and what its user has consented to do without. */
export interface Consent {
  readonly provider: string
  /** Tasks that ask for the host's network get it. */
  readonly allowNetwork: boolean
  /** How one consents to that: `--local-network`; absent where one cannot. */
  readonly networkConsent?: string
  /** `--provider-arg limits=ignore`. */
  readonly ignoreLimits: boolean
}

/** What sandboxes on a host cannot enforce or give, as far as the user has not consented to do without. */
export function unenforcedProblems(spec: SandboxSpec, consent: Consent): Problem[] {
  const limits = consent.ignoreLimits ? [] : unenforcedLimits(spec).map((limit) => limitProblem(limit, consent))
  return [...limits, ...gpuProblems(spec, consent), ...networkProblems(spec, consent)]
}

/** Stated limits that nothing enforces: "memoryMiB 2048". */
export function unenforcedLimits(spec: SandboxSpec): { name: string; value: number }[] {
  const { cpus, memoryMiB, storageMiB, pids } = spec.resources
  return Object.entries({ cpus, memoryMiB, storageMiB, pids }).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, value }],
  )
}

function limitProblem(limit: { name: string; value: number }, { provider }: Consent): Problem {
  return {
    field: `resources.${limit.name}`,
    value: String(limit.value),
    expected: `no limit, since the ${provider} provider enforces none; run without it by --provider-arg limits=ignore, or use --provider docker`,
  }
}

function gpuProblems(spec: SandboxSpec, { provider }: Consent): Problem[] {
  const { gpus } = spec.resources
  if (gpus === undefined || gpus.count === 0) return []
  return [
    { field: 'resources.gpus', value: String(gpus.count), expected: `none, since the ${provider} provider has no GPU` },
  ]
}

function networkProblems(spec: SandboxSpec, consent: Consent): Problem[] {
  const { network } = spec
  if (network.mode === 'allowlist') {
    return [
      {
        field: 'network',
        value: network.hosts.join(', '),
        expected: `none or public; the ${consent.provider} provider cannot filter hosts`,
      },
    ]
  }
  if (network.mode === 'none' || !spec.networkAsked || consent.allowNetwork) return []
  const advice = consent.networkConsent === undefined ? '' : `consent with ${consent.networkConsent}, or `
  return [
    {
      field: 'network',
      value: 'public',
      expected: `none, since a sandbox of the ${consent.provider} provider with network reaches all that listens on its host's loopback; ${advice}use --provider docker`,
    },
  ]
}
