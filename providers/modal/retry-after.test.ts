import { expect, test } from 'vitest'
import { readRetryAfter } from './retry-after.ts'
import { sdkDefinitions } from './testing/sdk-definitions.ts'

test('the time that the SDK’s own encoder writes is read', () => {
  const { encodeRetryPolicy } = sdkDefinitions()
  expect([2.5, 0.25, 90].map((seconds) => readRetryAfter(encodeRetryPolicy(seconds)))).toEqual([2_500, 250, 90_000])
})

test('details of other kinds ask for nothing', () => {
  expect(readRetryAfter(Buffer.alloc(0))).toBeUndefined()
  expect(readRetryAfter(Buffer.from('not a message at all'))).toBeUndefined()
})
