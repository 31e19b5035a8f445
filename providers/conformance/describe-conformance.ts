import assert from 'node:assert/strict'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import type { Provider } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { conformanceCases } from './conformance-cases.ts'
import { createConformanceHarness, type ConformanceHarness } from './conformance-context.ts'
import { assertStillDeviates, runConformanceCase } from './run-case.ts'

/** A case that a provider is known to fail. */
export interface KnownDeviation {
  /** Name of the case. */
  readonly name: string
  readonly reason: string
}

export interface ConformanceOptions {
  /** Called once, before the cases. */
  readonly makeProvider: () => Provider | Promise<Provider>
  /** What the cases' orders have in common: image, imageMap, … */
  readonly spec?: Partial<SandboxSpec>
  /** Each must still fail; one that has stopped failing, or names no case, is itself a failure. */
  readonly deviations?: readonly KnownDeviation[]
}

/**
 * Registers every conformance case as a vitest test. A case that needs a capability which the provider says it lacks
 * becomes a test that the provider refuses such an order by name. At the end nothing may be left of what was created.
 */
export function describeConformance(title: string, options: ConformanceOptions): void {
  describe(`${title} conforms`, () => {
    const deviations = new Map(options.deviations?.map(({ name, reason }) => [name, reason]))
    let harness: ConformanceHarness

    beforeAll(async () => {
      harness = createConformanceHarness(await options.makeProvider(), options.spec ?? {})
    })

    afterEach(() => harness.cleanUp('case'))

    afterAll(async () => {
      await harness.cleanUp('all')
      const left = await harness.provider.list({ namespace: harness.makeOwnership(harness.makeSpec()).namespace })
      await harness.provider.close()
      assert.deepEqual(left, [], 'sandboxes are left')
    })

    for (const conformanceCase of conformanceCases) {
      const reason = deviations.get(conformanceCase.name)
      if (reason === undefined) test(conformanceCase.name, () => runConformanceCase(conformanceCase, harness))
      else test(`${conformanceCase.name} – still not: ${reason}`, () => assertStillDeviates(conformanceCase, harness))
    }

    test('every known deviation is a case of this suite', () => {
      const names = new Set(conformanceCases.map((conformanceCase) => conformanceCase.name))
      assert.deepEqual(
        [...deviations.keys()].filter((name) => !names.has(name)),
        [],
      )
    })
  })
}
