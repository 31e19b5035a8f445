import { expect, test } from 'vitest'
import { daytonaAccess } from './daytona-settings.ts'

const env = { DAYTONA_API_KEY: 'dtn_x' }

test('without a key it is said what to set', () => {
  expect(() => daytonaAccess({}, {})).toThrow(/set DAYTONA_API_KEY/)
})

test('settings go before the environment, and both before the default', () => {
  expect(daytonaAccess({}, env)).toEqual({ apiKey: 'dtn_x', apiUrl: 'https://app.daytona.io/api' })
  const more = { ...env, DAYTONA_API_URL: 'https://a.example/api/', DAYTONA_TARGET: 'us', DAYTONA_ORGANIZATION_ID: 'o' }
  expect(daytonaAccess({}, more)).toEqual({
    apiKey: 'dtn_x',
    apiUrl: 'https://a.example/api',
    target: 'us',
    organizationId: 'o',
  })
  const options = { 'api-url': 'http://127.0.0.1:1/api', target: 'eu', secrets: 'A=one, B_2=two' }
  expect(daytonaAccess(options, more)).toMatchObject({
    apiUrl: 'http://127.0.0.1:1/api',
    target: 'eu',
    secrets: { A: 'one', B_2: 'two' },
  })
})

test.each([
  [{ 'api-url': 'http://daytona.example/api' }, /api-url .*https:\/\//],
  [{ 'api-url': 'app.daytona.io' }, /api-url/],
  [{ secrets: 'A' }, /secrets .*VARIABLE=/],
])('%j is refused by name', (options, message) => {
  expect(() => daytonaAccess(options, env)).toThrow(message)
})
