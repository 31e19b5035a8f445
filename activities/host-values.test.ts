import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { hostValues } from './host-values.ts'

const known: Readonly<Record<string, string>> = { ALLOWED: 'value-allowed', NAMED: 'value-named', OTHER: 'value-other' }
const services = {
  secrets: (names: readonly string[]) =>
    Object.fromEntries(names.flatMap((name) => (known[name] === undefined ? [] : [[name, known[name]]]))),
}
const spec = { secrets: ['NAMED', 'KEY'], hostEnv: { KEY: '<${ALLOWED}>' } } as unknown as SandboxSpec
const host = hostValues({ spec, options: jobOptions({ allowEnv: ['ALLOWED'] }), services })

test('a rollout has what is allowed and what is named, and both are masked', () => {
  expect(host.secrets).toEqual({ NAMED: 'value-named', KEY: '<value-allowed>' })
  expect(host.mask.text('value-allowed value-named value-other')).toBe('*** *** value-other')
})

test('what nobody has allowed is not there, whatever the worker has', () => {
  expect(() => host.expand({ A: '${OTHER}' })).toThrow('Variable OTHER is not in the worker')
  expect(host.expand({ A: '${OTHER:-none}' })).toEqual({ A: 'none' })
})
