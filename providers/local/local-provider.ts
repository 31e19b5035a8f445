import { join } from 'node:path'
import type { Capabilities, Problem, Provider } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { createHostProvider } from '../host-sandbox/host-provider.ts'
import { bubblewrapIsolation, namespaceIsolation, type Isolation } from '../host-sandbox/isolation.ts'
import { orderProblems } from '../host-sandbox/order.ts'
import { unenforcedLimits, unenforcedProblems, type Consent } from '../host-sandbox/unenforced.ts'

import { bubblewrapAdvice } from './provision-bubblewrap.ts'

export interface LocalProviderOptions {
  /** Sandboxes are in `<stateDirectory>/local/`. */
  readonly stateDirectory: string
  /** `--local-network`: tasks that ask for the network get the host's. Default false. */
  readonly allowNetwork?: boolean
  /** `--unsafe-local`: without bubblewrap, with util-linux `unshare`. Default false. */
  readonly unsafe?: boolean
  /** `--provider-arg limits=ignore`: tasks that state cpus, memory, storage or pids run without those limits. */
  readonly ignoreLimits?: boolean
  /** Default `bwrap`, found on the system's usual paths. */
  readonly bwrapPath?: string
}

/**
 * Sandboxes on this machine: an own root directory, own processes, no network. The host's system is used read-only in
 * place of an image. They survive the death of the worker that made them.
 */
export function createLocalProvider(options: LocalProviderOptions): Provider {
  const unsafe = options.unsafe ?? false
  const consent = {
    provider: 'local',
    allowNetwork: options.allowNetwork ?? false,
    networkConsent: '--local-network',
    ignoreLimits: options.ignoreLimits ?? false,
  }
  const asRoot = process.getuid?.() === 0
  const isolation = unsafe
    ? namespaceIsolation({ asRoot })
    : bubblewrapIsolation(options.bwrapPath ?? 'bwrap', { asRoot })
  const whyNot = onceItWorks(isolation)
  return createHostProvider({
    name: 'local',
    capabilities: localCapabilities(consent),
    home: join(options.stateDirectory, 'local'),
    isolation,
    check: async (spec) => [
      ...isolationProblems(await whyNot(), unsafe),
      ...unenforcedProblems(spec, consent),
      ...(await orderProblems(spec)),
    ],
    hostNetwork: (spec) => consent.allowNetwork && spec.networkAsked && spec.network.mode === 'public',
    notes: (spec) => localNotes(spec, { ...consent, unsafe }),
  })
}

export function localCapabilities(consent: { allowNetwork: boolean }): Capabilities {
  return {
    durable: true,
    dockerfile: 'subset',
    networkModes: consent.allowNetwork ? ['none', 'public'] : ['none'],
    resources: [],
    mounts: true,
    users: false,
    imageLayers: false,
  }
}

/** Machines do not stop having namespaces, so only a failure is looked at again. */
function onceItWorks(isolation: Isolation): () => Promise<string | undefined> {
  let works = false
  return async () => {
    if (works) return undefined
    const reason = await isolation.whyNot()
    works = reason === undefined
    return reason
  }
}

function isolationProblems(reason: string | undefined, unsafe: boolean): Problem[] {
  if (reason === undefined) return []
  if (!unsafe) return [{ field: '--provider', value: 'local', expected: bubblewrapAdvice(reason) }]
  return [
    {
      field: '--unsafe-local',
      expected: `a machine with mount and PID namespaces, without which tasks cannot have /app and /tests of their own (${reason}); use --provider docker`,
    },
  ]
}

/** For the lock file: what a reader of the results has to know about how sandboxes were kept. */
function localNotes(spec: SandboxSpec, consent: Consent & { unsafe: boolean }): string[] {
  const limits = unenforcedLimits(spec).map(({ name, value }) => `${name} ${value}`)
  const notAsked = spec.network.mode === 'public' && !spec.networkAsked
  return [
    ...(limits.length > 0 ? [`limits not enforced: ${limits.join(', ')}`] : []),
    ...(notAsked ? ['no network, since the task does not ask for it'] : []),
    ...(consent.unsafe
      ? ['unsafe: no bubblewrap; a process inside that tries to can reach the host as the user of the worker']
      : []),
  ]
}
