import { DaytonaConnectionError, DaytonaError } from '@daytonaio/sdk'
import { expect, test } from 'vitest'
import { daytonaError, retryAfter, startError } from './daytona-errors.ts'

test.each([
  [400, 'Total CPU limit exceeded. Maximum allowed: 10.', 'provider-busy'],
  [400, 'Total memory limit exceeded. Maximum allowed: 20GiB.', 'provider-busy'],
  [400, 'Total disk limit exceeded. Maximum allowed: 30GiB.', 'provider-busy'],
  [400, 'CPU request 8 exceeds maximum allowed per sandbox (4).', 'runtime-unsupported'],
  [400, 'Snapshot team/base not found. Did you add it through the Daytona Dashboard?', 'image-missing'],
  [400, 'labels must be an object', 'sandbox-create-failed'],
  [401, 'Invalid credentials', 'provider-auth'],
  [403, 'Organization is suspended: Please verify your email address', 'provider-auth'],
  [404, 'Sandbox with ID or name x not found', 'sandbox-lost'],
  [409, 'Sandbox with name x already exists', 'provider-unavailable'],
  [429, 'ThrottlerException: Too Many Requests', 'provider-busy'],
  [500, 'Internal server error', 'provider-unavailable'],
  [502, 'Bad Gateway', 'provider-unavailable'],
  [504, 'Gateway Timeout', 'provider-unavailable'],
])('%i "%s" is %s', (status, message, code) => {
  expect(daytonaError('create sandbox x', new DaytonaError(message, status)).code).toBe(code)
})

test('no answer is an outage, and a file of the context that is not there the author’s', () => {
  expect(daytonaError('create', new DaytonaConnectionError('socket hang up')).code).toBe('provider-unavailable')
  expect(daytonaError('create', new DaytonaError('Path does not exist: /x')).code).toBe('image-build-failed')
})

test.each([
  ['build_failed', 'The command "/bin/sh -c exit 7" returned a non-zero code: 7', 'image-build-failed'],
  ['build_failed', 'failed to pull image x: manifest for x not found: manifest unknown', 'image-missing'],
  ['error', 'No available runners', 'provider-busy'],
  ['error', 'Timeout while starting sandbox', 'sandbox-create-failed'],
])('a sandbox that is %s because of "%s" is %s', (state, reason, code) => {
  expect(startError('x', state, reason).code).toBe(code)
})

test('of all that Daytona says about waiting the longest counts, as seconds or as a date', () => {
  expect(retryAfter({ 'retry-after': '3', 'Retry-After-sandbox-create': '7' })).toBe(7_000)
  expect(retryAfter({ 'retry-after': new Date(Date.now() + 30_000).toUTCString() })).toBeGreaterThan(25_000)
  expect(retryAfter({ 'content-type': 'x', 'retry-after': 'soon' })).toBeUndefined()
  expect(retryAfter(undefined)).toBeUndefined()
})
