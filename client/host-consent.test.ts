import { describe, expect, test } from 'vitest'
import { askedVariables, assertTemplates, consentedNames, describeAsked } from './host-consent.ts'

type Tables = {
  environment?: Record<string, string>
  verifier?: Record<string, string>
  solution?: Record<string, string>
}

function task(name: string, { environment = {}, verifier = {}, solution = {} }: Tables) {
  return {
    name,
    runtime: { env: environment },
    verifier: { env: verifier },
    solution: { env: solution },
    steps: [],
  }
}

const tasks = [
  task('a', { environment: { KEY: 'x${TOKEN}' }, verifier: { URL: '${HOST:-localhost}' } }),
  task('b', { solution: { KEY: '${TOKEN}' } }),
]

describe('variables of the host', () => {
  test('what is asked for is told with who asks', () => {
    const asked = askedVariables(tasks, { 'the job': { env: { A: '${HOME}', B: null } } })
    expect(describeAsked(asked)).toEqual([
      '  HOME: asked for by the job',
      '  HOST: asked for by a, which can do without it',
      '  TOKEN: asked for by a and 1 more',
    ])
  })

  test('every table of a task may ask: of sandboxes, of its own runtime, of verifiers and of steps', () => {
    const env = (name: string) => ({ env: { X: `\${${name}}` } })
    const whole = {
      ...task('c', {}),
      ownRuntime: env('OWN'),
      verifier: { env: {}, runtime: env('SEPARATE') },
      steps: [{ verifier: { ...env('STEP'), runtime: env('STEP_SEPARATE') } }],
    }
    expect(askedVariables([whole]).map(({ name }) => name)).toEqual(['OWN', 'SEPARATE', 'STEP', 'STEP_SEPARATE'])
  })

  test('a task that asks twice is one that asks', () => {
    const twice = task('d', { environment: { A: '${TOKEN}' }, solution: { A: '${TOKEN}' } })
    expect(askedVariables([twice])).toEqual([{ name: 'TOKEN', by: ['d'], hasFallback: false }])
  })

  test('only what is asked for and allowed is had', () => {
    expect(consentedNames(askedVariables(tasks), ['TOKEN', 'HOST', 'UNUSED'])).toEqual(['HOST', 'TOKEN'])
    expect(consentedNames(askedVariables(tasks), 'all')).toEqual(['HOST', 'TOKEN'])
    expect(consentedNames(askedVariables([]), [])).toEqual([])
  })

  test('one error names everything that nobody has allowed', () => {
    expect(() => consentedNames(askedVariables(tasks), [])).toThrow(
      /2 variables of this host[^]*HOST: asked for by a[^]*TOKEN: asked for by a and 1 more[^]*--allow-env HOST --allow-env TOKEN/,
    )
  })

  test('a template that means nothing is refused', () => {
    expect(() => assertTemplates({ 'the job': { env: { A: '${B-c}' } } })).toThrow('env.A of the job holds ${B-c}')
  })
})
