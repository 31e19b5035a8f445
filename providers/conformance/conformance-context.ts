import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { openRunner } from '../../runner/open-runner.ts'
import type { ExecRequest, Runner } from '../../runner/runner.ts'
import type { CreateRequest, Ownership, Provider } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { specHash } from '../contract/spec-hash.ts'
import type { ConformanceContext, OpenSandbox } from './conformance-case.ts'

const hourMs = 3_600_000

/** What every case's order is made from: small, without network, ten minutes of life. */
const baseSpec: SandboxSpec = {
  image: { type: 'default' },
  imageMap: {},
  resources: {},
  limits: { acquireTimeoutMs: 60_000, startTimeoutMs: 60_000, execTimeoutMs: 60_000, lifetimeMs: 600_000 },
  network: { mode: 'none' },
  networkAsked: false,
  env: {},
  secrets: [],
  mounts: [],
}

/** What cases run in, and how it is cleaned up. */
export interface ConformanceHarness extends ConformanceContext {
  /** Destroys what cases have opened; with `all` also the shared sandbox. */
  readonly cleanUp: (scope: 'case' | 'all') => Promise<void>
}

/** @param base The order that cases vary: image, imageMap and what else this provider needs. */
export function createConformanceHarness(provider: Provider, base: Partial<SandboxSpec>): ConformanceHarness {
  const suite = randomUUID()
  const names = new Set<string>()
  const runners = new Set<Runner>()
  let count = 0
  let sharedSandbox: Promise<OpenSandbox> | undefined

  const makeSpec = (overrides: Partial<SandboxSpec> = {}): SandboxSpec => ({ ...baseSpec, ...base, ...overrides })

  const makeOwnership = (spec: SandboxSpec, overrides: Partial<Ownership> = {}): Ownership => ({
    namespace: suite,
    job: `conformance-${suite.slice(0, 8)}`,
    workflow: `conformance-${suite.slice(0, 8)}.case.${count}`,
    role: 'main',
    incarnation: 1,
    owner: randomUUID(),
    spec: specHash(spec),
    keep: 'never',
    expires: Date.now() + hourMs,
    ...overrides,
  })

  const uniqueName = (): string => {
    const name = `conformance-${suite.slice(0, 8)}-${++count}`
    names.add(name)
    return name
  }

  const makeRequest = (overrides?: Partial<SandboxSpec>): CreateRequest => {
    const spec = makeSpec(overrides)
    const secrets = Object.fromEntries(spec.secrets.map((name) => [name, `secret of ${name}`]))
    return { name: uniqueName(), spec, ownership: makeOwnership(spec), secrets }
  }

  const openRequest = (request: CreateRequest): Promise<OpenSandbox> =>
    openSandbox(provider, request, (runner) => runners.add(runner))

  const open = (overrides?: Partial<SandboxSpec>): Promise<OpenSandbox> => openRequest(makeRequest(overrides))

  const shared = async (): Promise<OpenSandbox> => {
    const known = await sharedSandbox?.catch(() => undefined)
    const found = known && (await provider.find(known.sandbox.name))
    if (known !== undefined && found?.state === 'running') return known
    const request = makeRequest()
    names.delete(request.name)
    sharedSandbox = openSandbox(provider, request, () => {})
    return sharedSandbox
  }

  const cleanUp = async (scope: 'case' | 'all'): Promise<void> => {
    for (const runner of runners) runner.close()
    runners.clear()
    const ended = [...names]
    if (scope === 'all') {
      const known = await sharedSandbox?.catch(() => undefined)
      known?.runner.close()
      if (known !== undefined) ended.push(known.sandbox.name)
    }
    await Promise.all(ended.map((name) => provider.destroy(name)))
    names.clear()
  }

  return { provider, makeSpec, makeOwnership, uniqueName, makeRequest, open, openRequest, shared, cleanUp }
}

async function openSandbox(
  provider: Provider,
  request: CreateRequest,
  onRunner: (runner: Runner) => void,
): Promise<OpenSandbox> {
  const sandbox = await provider.createOrAdopt(request)
  const connections = new Set<Duplex>()
  const attach = (): Runner => {
    const runner = openRunner({
      connect: async () => remember(connections, await provider.connect(request.name)),
      isAlive: async () => {
        const found = await provider.find(request.name)
        return found?.state === 'running' ? { alive: true } : { alive: false, reason: found?.reason ?? 'gone' }
      },
    })
    onRunner(runner)
    return runner
  }
  const runner = attach()
  let batch = 0
  const nextId = () => ({ scope: 'conformance', phase: 1, batch: batch++, call: 0, part: 0 })
  const run = (script: string, options: Partial<ExecRequest> = {}) =>
    runner.exec({ id: nextId(), script, timeoutMs: 30_000, ...options })
  const cut = () => connections.forEach((connection) => connection.destroy())
  return { request, sandbox, runner, nextId, run, attach, cut }
}

function remember(connections: Set<Duplex>, connection: Duplex): Duplex {
  connections.add(connection)
  connection.once('close', () => connections.delete(connection))
  return connection
}
