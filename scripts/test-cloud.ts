/**
 * `npm run test:cloud -- modal`: the conformance suite on a real account, with what it costs. Credentials are those of the
 * environment; `NAME=VALUE` after the name of the cloud are its settings, as for --provider-arg, and `image=NAME` is what
 * the cases run in. Exit code 1 when a case fails or something is left, 2 when it could not begin.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { conformanceCases } from '../providers/conformance/conformance-cases.ts'
import type { ConformanceCase } from '../providers/conformance/conformance-case.ts'
import { createConformanceHarness, type ConformanceHarness } from '../providers/conformance/conformance-context.ts'
import { runConformanceCase } from '../providers/conformance/run-case.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { createProviders } from '../workers/providers.ts'

interface Cloud {
  /** What all cases' orders have in common. */
  readonly spec: Partial<SandboxSpec>
}

/** Providers with an account, by name. */
const clouds: Readonly<Record<string, Cloud>> = {
  modal: { spec: { image: { type: 'name', name: 'debian:bookworm-slim' } } },
}

/** A real sandbox is not ready within seconds. */
const limits = { acquireTimeoutMs: 600_000, startTimeoutMs: 600_000, execTimeoutMs: 120_000, lifetimeMs: 3_600_000 }

async function main([name = '', ...settings]: readonly string[]): Promise<number> {
  const cloud = clouds[name]
  if (cloud === undefined) {
    process.stderr.write(`Usage: npm run test:cloud -- ${Object.keys(clouds).join('|')} [NAME=VALUE…]\n`)
    return 2
  }
  const stateDirectory = await mkdtemp(join(tmpdir(), 'rollcall-cloud-'))
  const providers = createProviders({ env: process.env, stateDirectory })
  try {
    const { image, ...options }: Record<string, string> = Object.fromEntries(settings.map(pair))
    const provider = await providers.provider(name, options)
    process.stdout.write(`${name}: sandboxes are made at ${await provider.place()}\n`)
    const ofCaller: Partial<SandboxSpec> = image === undefined ? {} : { image: { type: 'name', name: image } }
    return await runAll(createConformanceHarness(provider, { limits, ...cloud.spec, ...ofCaller }))
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  } finally {
    await providers.close()
    await rm(stateDirectory, { recursive: true, force: true })
  }
}

async function runAll(harness: ConformanceHarness): Promise<number> {
  let failed = 0
  try {
    for (const one of conformanceCases) if (!(await isPassed(one, harness))) failed += 1
  } finally {
    await harness.cleanUp('all')
  }
  const { namespace } = harness.makeOwnership(harness.makeSpec())
  const left = await harness.provider.list({ namespace })
  for (const sandbox of left) process.stdout.write(`left   ${sandbox.name}\n`)
  process.stdout.write(`${conformanceCases.length - failed} passed, ${failed} failed, ${left.length} left\n`)
  return failed + left.length === 0 ? 0 : 1
}

async function isPassed(one: ConformanceCase, harness: ConformanceHarness): Promise<boolean> {
  const startedAt = performance.now()
  const took = () => `(${((performance.now() - startedAt) / 1000).toFixed(1)} s)`
  try {
    await runConformanceCase(one, harness)
    process.stdout.write(`passed ${one.name} ${took()}\n`)
    return true
  } catch (error) {
    process.stdout.write(`FAILED ${one.name} ${took()}\n  ${error instanceof Error ? error.message : String(error)}\n`)
    return false
  } finally {
    await harness.cleanUp('case')
  }
}

function pair(argument: string): [string, string] {
  const [setting = '', ...value] = argument.split('=')
  return [setting, value.join('=')]
}

process.exitCode = await main(process.argv.slice(2))
