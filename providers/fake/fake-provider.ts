import { join } from 'node:path'
import type { Capabilities, Provider } from '../contract/provider.ts'
import { createHostProvider } from '../host-sandbox/host-provider.ts'
import { namespaceIsolation } from '../host-sandbox/isolation.ts'
import { orderProblems } from '../host-sandbox/order.ts'
import { killSandbox } from '../host-sandbox/remove.ts'
import { unenforcedProblems } from '../host-sandbox/unenforced.ts'
import { createFaultyProvider } from './faulty-provider.ts'
import { faultScript, type FaultScript } from './faults.ts'

export interface FakeProviderOptions {
  /** Sandboxes are in `<stateDirectory>/fake/`; processes that are to share sandboxes share it. */
  readonly stateDirectory: string
  /** What goes wrong, and when. Default: nothing. */
  readonly script?: FaultScript
  /** Tasks that state cpus, memory, storage or pids run without those limits. Default false: they are refused. */
  readonly ignoreLimits?: boolean
}

/**
 * For tests and benches: real commands in real, cheap sandboxes, and faults by script. Its sandboxes keep tasks apart
 * (own files, processes and loopback), but they are no walls: they are not for code that nobody has read. As
 * with the local provider, the host's system stands in for every image.
 */
export function createFakeProvider(options: FakeProviderOptions): Provider {
  const consent = { provider: 'fake', allowNetwork: false, ignoreLimits: options.ignoreLimits ?? false }
  const home = join(options.stateDirectory, 'fake')
  const isolation = namespaceIsolation({ asRoot: process.getuid?.() === 0 })
  const sandboxes = createHostProvider({
    name: 'fake',
    capabilities: fakeCapabilities,
    home,
    isolation,
    check: async (spec) => [...unenforcedProblems(spec, consent), ...(await orderProblems(spec))],
    hostNetwork: () => false,
    notes: () => ['fake: for tests only'],
  })
  return createFaultyProvider({
    sandboxes,
    script: options.script ?? faultScript([]),
    kill: (name) => killSandbox(home, name),
  })
}

export const fakeCapabilities: Capabilities = {
  durable: true,
  dockerfile: 'subset',
  networkModes: ['none'],
  resources: [],
  mounts: true,
  users: false,
  imageLayers: false,
}
