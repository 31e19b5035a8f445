import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { buildError, dockerError, pullError } from './docker-errors.ts'

/** Errors of dockerd 20.10.24 as dockerode 5 threw them. */
const captured = z
  .record(z.string(), z.object({ message: z.string(), code: z.string().optional(), statusCode: z.number().optional() }))
  .parse(JSON.parse(await readFile(new URL('fixtures/errors.json', import.meta.url), 'utf8')))

function errorNamed(name: string): Error {
  return Object.assign(new Error(captured[name]?.message ?? `no fixture ${name}`), captured[name])
}

test.each([
  ['socket-absent', 'provider-unavailable'],
  ['connection-refused', 'provider-unavailable'],
  ['host-unknown', 'provider-unavailable'],
  ['create-image-missing', 'image-missing'],
  ['too-many-cpus', 'sandbox-create-failed'],
  ['memory-too-small', 'sandbox-create-failed'],
  ['mount-source-missing', 'sandbox-create-failed'],
  ['start-program-missing', 'sandbox-create-failed'],
  ['start-user-missing', 'sandbox-create-failed'],
  ['container-missing', 'sandbox-lost'],
])('%s means %s', (name, code) => {
  expect(dockerError('do it', errorNamed(name))).toMatchObject({ name: 'RollcallError', code })
})

test.each([
  [{ code: 'EACCES' }, 'provider-auth'],
  [{ code: 'ECONNRESET' }, 'provider-unavailable'],
  [{ code: 'EPIPE' }, 'provider-unavailable'],
  [{ statusCode: 429 }, 'provider-busy'],
  [{ statusCode: 503 }, 'provider-unavailable'],
  [{ statusCode: 500 }, 'provider-unavailable'],
  [{ statusCode: 401 }, 'provider-auth'],
])('%o means %s', (properties, code) => {
  expect(dockerError('do it', Object.assign(new Error('x'), properties)).code).toBe(code)
})

test('a full disk and an exhausted address pool mean that the provider is busy', () => {
  const full = 'write /var/lib/docker/overlay2/x: no space left on device'
  const pool =
    'failed to set up container networking: no available IPv4 addresses on this network’s address pools: bridge'
  for (const message of [full, pool]) {
    const error = Object.assign(new Error(`(HTTP code 500) server error - ${message} `), { statusCode: 500 })
    expect(dockerError('start', error).code).toBe('provider-busy')
  }
})

test('a message says what was attempted, what the Engine said and what to do, without the client’s frame', () => {
  expect(dockerError('create the container a', errorNamed('too-many-cpus')).message).toBe(
    'Docker could not create the container a: Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available',
  )
  expect(dockerError('use the Engine at /x', errorNamed('socket-absent')).message).toMatch(
    /: connect ENOENT .*\. Start the Docker Engine, set DOCKER_HOST .*, or use --provider local/,
  )
})

test.each(['pull', 'pull-refused', 'pull-unknown-host'])(
  '%s offline is an unavailable provider, with advice',
  (name) => {
    expect(pullError('a:b', errorNamed(name))).toMatchObject({
      code: 'provider-unavailable',
      message: expect.stringContaining('--image-map'),
    })
  },
)

test('a pull of what the registry does not have is a missing image', () => {
  const denied = 'pull access denied for nope, repository does not exist or may require ’docker login’'
  const unknown = 'manifest for python:nope not found: manifest unknown: manifest unknown'
  for (const message of [denied, unknown]) {
    const error = Object.assign(new Error(`(HTTP code 404) unexpected - ${message} `), { statusCode: 404 })
    expect(pullError('nope', error).code).toBe('image-missing')
  }
})

test('a pull that the registry throttles is a busy provider', () => {
  const error = Object.assign(new Error('toomanyrequests: You have reached your pull rate limit.'), { statusCode: 500 })
  expect(pullError('python', error).code).toBe('provider-busy')
})

test.each([
  ['executor failed running [/bin/sh -c echo "no such host"; exit 4]: exit code: 4', 'image-build-failed'],
  ['process "/bin/sh -c false" did not complete successfully: exit code: 1', 'image-build-failed'],
  ['failed to compute cache key: "/nope" not found: not found', 'image-build-failed'],
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUMN',
    'image-build-failed',
  ],
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: failed to do request: Head "https://registry-1.docker.io/v2/nosuch/image/manifests/1": dial tcp: lookup registry-1.docker.io on 10.255.255.53:53: no such host',
    'provider-unavailable',
  ],
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: docker.io/library/python:nope: not found',
    'image-missing',
  ],
])('a build that ends with %s is %s', (message, code) => {
  const error = buildError(message, ['a line'])
  expect(error).toMatchObject({ code, message: expect.stringContaining('\na line') })
  expect(error.message.includes('--image-map FROM=TO')).toBe(code === 'provider-unavailable')
})
