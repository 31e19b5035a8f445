import { randomUUID } from 'node:crypto'
import { openRunner } from '../../runner/open-runner.ts'
import type { Runner } from '../../runner/runner.ts'
import type { CreateRequest, Ownership, Provider } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { specHash } from '../contract/spec-hash.ts'

/** An order for tests: no image, no network, ten minutes of life. */
export function makeSpec(overrides: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    image: { type: 'default' },
    imageMap: {},
    resources: {},
    limits: { acquireTimeoutMs: 30_000, startTimeoutMs: 30_000, execTimeoutMs: 30_000, lifetimeMs: 600_000 },
    network: { mode: 'none' },
    networkAsked: false,
    env: {},
    secrets: [],
    mounts: [],
    ...overrides,
  }
}

export function makeRequest(overrides: Partial<SandboxSpec> = {}): CreateRequest {
  const spec = makeSpec(overrides)
  const ownership: Ownership = {
    namespace: 'test',
    job: 'test',
    workflow: 'test.task.agent.1',
    role: 'main',
    incarnation: 1,
    owner: randomUUID(),
    spec: specHash(spec),
    keep: 'never',
    expires: Date.now() + 3_600_000,
  }
  return { name: `test-${randomUUID().slice(0, 8)}`, spec, ownership, secrets: {} }
}

export function runnerOf(provider: Provider, name: string, options: { pingMs?: number } = {}): Runner {
  return openRunner({
    ...options,
    connect: () => provider.connect(name),
    isAlive: async () => {
      const found = await provider.find(name)
      return found?.state === 'running' ? { alive: true } : { alive: false, reason: found?.reason ?? 'gone' }
    },
  })
}

/** Runs scripts in a sandbox, each under an id of its own; answers stdout, or throws what went wrong. */
export function shellOf(runner: Runner): (script: string) => Promise<string> {
  const phase = Math.floor(Math.random() * 1_000_000)
  let batch = 0
  return async (script) => {
    const id = { scope: 'shell', phase, batch: batch++, call: 0, part: 0 }
    const { outcome, stdout, stderr } = await runner.exec({ id, script, timeoutMs: 30_000 })
    if (outcome.type === 'exited' && outcome.code === 0) return stdout.head.toString()
    throw new Error(`${JSON.stringify(outcome)}: ${stdout.head.toString()}${stderr.head.toString()}`)
  }
}

export async function withSandbox<T>(
  provider: Provider,
  request: CreateRequest,
  use: (shell: (script: string) => Promise<string>, runner: Runner) => Promise<T>,
): Promise<T> {
  await provider.createOrAdopt(request)
  const runner = runnerOf(provider, request.name)
  try {
    return await use(shellOf(runner), runner)
  } finally {
    runner.close()
    await provider.destroy(request.name)
  }
}
