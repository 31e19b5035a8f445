import { expect, test } from 'vitest'
import type { Capabilities, Problem, Provider } from '../contract/provider.ts'
import type { ConformanceCase, ConformanceContext } from './conformance-case.ts'
import { conformanceCases } from './conformance-cases.ts'
import { createConformanceHarness } from './conformance-context.ts'
import { assertStillDeviates, runConformanceCase } from './run-case.ts'

const capabilities: Capabilities = {
  durable: true,
  dockerfile: 'none',
  networkModes: ['none'],
  resources: [],
  mounts: false,
  users: false,
  imageLayers: false,
}

const passing: ConformanceCase = { name: 'passes', run: async () => {} }
const failing: ConformanceCase = { name: 'fails', run: () => Promise.reject(new Error('it does not')) }
const needingUsers: ConformanceCase = {
  ...failing,
  needs: { isMet: (capable) => capable.users, order: { user: 'nobody' }, field: 'user' },
}

test('a case that fails is a failure', async () => {
  await runConformanceCase(passing, contextOf([]))
  await expect(runConformanceCase(failing, contextOf([]))).rejects.toThrow('it does not')
})

test('a provider that lacks a capability passes by refusing the order by name, and only so', async () => {
  const refusal = { field: 'user', value: 'nobody', expected: 'No user.' }
  await runConformanceCase(needingUsers, contextOf([refusal]))
  await expect(runConformanceCase(needingUsers, contextOf([]))).rejects.toThrow(/does not refuse user/)
})

test('a known deviation fails as soon as it has stopped deviating', async () => {
  await assertStillDeviates(failing, contextOf([]))
  await expect(assertStillDeviates(passing, contextOf([]))).rejects.toThrow(/no longer deviates/)
})

test('every case has a name of its own', () => {
  const names = conformanceCases.map((conformanceCase) => conformanceCase.name)
  expect(new Set(names).size).toBe(names.length)
})

function contextOf(problems: Problem[]): ConformanceContext {
  const unused = () => Promise.reject(new Error('not part of this test'))
  const provider: Provider = {
    name: 'none',
    capabilities,
    place: unused,
    check: async () => problems,
    createOrAdopt: unused,
    find: unused,
    connect: unused,
    destroy: unused,
    list: unused,
    close: async () => {},
  }
  return createConformanceHarness(provider, {})
}
