import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isNotFound, isOver, isTaken, modalError } from './modal-errors.ts'

/** As the SDK throws it: its own classes have a name, what comes from gRPC has a code and what the server said. */
function ofSdk(name: string, message: string): Error {
  return Object.assign(new Error(message), { name })
}

function ofGrpc(code: number, details: string): Error {
  const path = '/modal.client.ModalClient/SandboxCreateV2'
  return Object.assign(new Error(`${path} ${code}: ${details}`), { name: 'ClientError', path, code, details })
}

test.each([
  ['outage', ofGrpc(14, 'No connection established'), 'provider-unavailable'],
  ['deadline', ofGrpc(4, 'Deadline exceeded'), 'provider-unavailable'],
  ['bug of the server', ofGrpc(13, 'internal'), 'provider-unavailable'],
  ['anything else', new TypeError('fetch failed'), 'provider-unavailable'],
  ['token', ofGrpc(16, 'Token ID is malformed'), 'provider-auth'],
  ['rights', ofGrpc(7, 'not a member of this workspace'), 'provider-auth'],
  ['no token', new Error('MODAL_TOKEN_ID and MODAL_TOKEN_SECRET: no token id given'), 'provider-auth'],
  ['quota', ofGrpc(8, 'Too many sandboxes'), 'provider-busy'],
  ['no GPU to be had', ofSdk('ResourceExhaustedError', 'not scheduled'), 'provider-busy'],
  ['money', ofGrpc(8, 'Workspace billing cycle spend limit reached'), 'sandbox-create-failed'],
  ['bad order', ofGrpc(3, 'invalid region'), 'sandbox-create-failed'],
  ['bad order, found by the SDK', ofSdk('InvalidError', 'Invalid name'), 'sandbox-create-failed'],
  [
    'image that is not there',
    new Error('Image build for im-1 failed with the exception:\nmanifest for x:1 not found: manifest unknown'),
    'image-missing',
  ],
  ['build', new Error('Image build for im-1 failed with the exception:\nexit code: 7'), 'image-build-failed'],
] as const)('%s', (_what, error, code) => {
  expect(modalError('create sandbox x', error)).toMatchObject({ code })
})

test('a rate limit says when to come again, a quota has a time of ours, an outage none', () => {
  expect(modalError('x', ofGrpc(8, 'Sandbox creation rate limit exceeded'), 4_000).retryAfterMs).toBe(4_000)
  expect(modalError('x', ofGrpc(8, 'Too many sandboxes')).retryAfterMs).toBe(15_000)
  expect(modalError('x', ofGrpc(14, 'down')).retryAfterMs).toBeUndefined()
})

test('nothing of the call itself is kept: its metadata hold the token', () => {
  const error = Object.assign(ofGrpc(14, 'down'), { metadata: { 'x-modal-token-secret': 'as-secret' } })
  expect(inspect(modalError('x', error), { depth: 10, showHidden: true })).not.toContain('as-secret')
  expect(modalError('x', error).cause).not.toBe(error)
})

test('what is not there, what is taken and what is over are told by class or code', () => {
  expect([ofSdk('NotFoundError', ''), ofGrpc(5, '')].map(isNotFound)).toEqual([true, true])
  expect([ofSdk('AlreadyExistsError', ''), ofGrpc(6, '')].map(isTaken)).toEqual([true, true])
  expect([ofSdk('ConflictError', ''), ofGrpc(9, ''), ofGrpc(5, '')].map(isOver)).toEqual([true, true, true])
  expect([isNotFound(ofGrpc(14, 'not found')), isTaken(ofGrpc(14, 'already exists'))]).toEqual([false, false])
})
