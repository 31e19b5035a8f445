import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { ensureTestImages, testImages } from '../../scripts/test-images.ts'
import { createConformanceHarness } from '../conformance/conformance-context.ts'
import { specHash } from '../contract/spec-hash.ts'
import { dockerConnection } from '../docker/docker-connection.ts'
import { createDaytonaProvider } from './daytona-provider.ts'
import { LoopbackDaytona } from './testing/loopback-daytona.ts'

/** What goes wrong between a worker and Daytona, and what is asked of it. The server is a test's own, on 127.0.0.1. */

const connection = dockerConnection(process.env['DOCKER_HOST'])
const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
const daytona = await LoopbackDaytona.start({ connection, snapshots: { 'team/base': testImages.debian }, totalCpu: 8 })
const provider = createDaytonaProvider({ access: daytona.access })
const harness = createConformanceHarness(provider, { imageMap })
const { makeRequest, openRequest, open } = harness

afterEach(async () => {
  daytona.faults.clear()
  await harness.cleanUp('case')
  expect(daytona.sandboxes.names()).toEqual([])
})

afterAll(async () => {
  await provider.close()
  await daytona.close()
})

const creation = { method: 'POST', path: /^\/api\/sandbox$/ }
const textOf = (result: { stdout: { head: Buffer } }) => result.stdout.head.toString()

/** Runs a test with a directory that is removed after it. */
async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-daytona-test-'))
  try {
    await use(directory)
  } finally {
    await rm(directory, { recursive: true })
  }
}

test('a creation whose answer was lost is adopted, not doubled', async () => {
  daytona.fail({ ...creation, lose: 'answer' })
  const before = daytona.creations.length
  const { sandbox, run, request } = await open()
  expect(textOf(await run('echo works'))).toBe('works\n')
  expect(daytona.sandboxes.names()).toEqual([request.name])
  expect(daytona.creations.length - before).toBe(1)
  expect((await provider.find(request.name))?.id).toBe(sandbox.id)
})

test('a creation that never arrived is an outage, and the next attempt makes it', async () => {
  daytona.fail({ ...creation, lose: 'request' })
  const request = makeRequest()
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(daytona.sandboxes.names()).toEqual([])
  await provider.createOrAdopt(request)
  expect(daytona.sandboxes.names()).toEqual([request.name])
})

test('a creation that is cancelled is left at once, and what comes of it is adopted', async () => {
  const leaving = new AbortController()
  const held = Promise.withResolvers<void>()
  const onStrike = async () => {
    leaving.abort(new Error('cancelled'))
    await held.promise
  }
  daytona.fail({ ...creation, onStrike })
  const request = makeRequest()
  await expect(provider.createOrAdopt({ ...request, signal: leaving.signal })).rejects.toThrow(/cancelled/)
  held.resolve()
  await expect.poll(() => daytona.sandboxes.names()).toEqual([request.name])
  await openRequest(request)
  expect(daytona.sandboxes.names()).toEqual([request.name])
})

test('an outage while a sandbox comes up leaves it to be adopted', async () => {
  daytona.fail({
    method: 'GET',
    path: /^\/api\/sandbox\/[0-9a-f]{8}-/,
    times: 3,
    answer: { status: 502, message: 'Bad Gateway' },
  })
  const { request } = await open()
  expect(daytona.sandboxes.names()).toEqual([request.name])
})

test('a sandbox whose maker died before the runner was in it is finished by the next one, not by a stranger', async () => {
  const request = makeRequest()
  daytona.fail({ method: 'POST', path: /bulk-upload/, times: 4, lose: 'request' })
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
  const stranger = { ...request, ownership: { ...request.ownership, owner: randomUUID() } }
  await expect(provider.createOrAdopt(stranger)).rejects.toMatchObject({ code: 'sandbox-conflict' })
  const { run } = await openRequest(request)
  expect(textOf(await run('echo works'))).toBe('works\n')
})

test('the start of the runner whose answer was lost is not made twice', async () => {
  daytona.fail({ method: 'POST', path: /process\/execute/, lose: 'answer' })
  const { run } = await open()
  const script = 'ls -d /.rollcall/new-* 2>/dev/null | wc -l; grep -l [b]in/main /proc/[0-9]*/cmdline | wc -l'
  expect(textOf(await run(script))).toBe('0\n1\n')
})

test('too many creations are a busy provider, which says when to come again', async () => {
  const headers = { 'retry-after-sandbox-create': '17', 'x-ratelimit-remaining-sandbox-create': '0' }
  daytona.fail({ ...creation, answer: { status: 429, message: 'ThrottlerException: Too Many Requests', headers } })
  await expect(provider.createOrAdopt(makeRequest())).rejects.toMatchObject({
    code: 'provider-busy',
    retryAfterMs: 17_000,
  })
  const later = new Date(Date.now() + 60_000).toUTCString()
  daytona.fail({
    ...creation,
    answer: { status: 429, message: 'Too many failed attempts', headers: { 'retry-after': later } },
  })
  const failure: unknown = await provider.createOrAdopt(makeRequest()).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'provider-busy', retryAfterMs: expect.any(Number) })
})

test('a short wait that Daytona asks for is kept without anybody noticing, and so is an outage', async () => {
  const { request } = await open()
  const path = new RegExp(`^/api/sandbox/${request.name}$`)
  daytona.fail({
    path,
    answer: { status: 429, message: 'Too Many Requests', headers: { 'retry-after-authenticated': '1' } },
  })
  daytona.fail({ path, times: 2, answer: { status: 503, message: 'Service Unavailable' } })
  const before = performance.now()
  expect((await provider.find(request.name))?.state).toBe('running')
  expect(performance.now() - before).toBeGreaterThanOrEqual(1_000)
})

test('a lasting outage is one, and no reason to call a sandbox lost', async () => {
  const { request } = await open()
  daytona.fail({ path: /^\/api\/sandbox\//, times: 20, answer: { status: 503, message: 'Service Unavailable' } })
  await expect(provider.find(request.name)).rejects.toMatchObject({ code: 'provider-unavailable' })
  await expect(provider.connect(request.name)).rejects.toMatchObject({ code: 'provider-unavailable' })
})

test('an organisation whose total is used up is busy; what no sandbox may have is the order’s fault', async () => {
  await open({ resources: { cpus: 4 } })
  const second = makeRequest({ resources: { cpus: 4 } })
  await provider.createOrAdopt(second)
  await expect(provider.createOrAdopt(makeRequest())).rejects.toMatchObject({ code: 'provider-busy' })
  await provider.destroy(second.name)
  const large = makeRequest({ resources: { cpus: 5 } })
  await expect(provider.createOrAdopt(large)).rejects.toMatchObject({ code: 'runtime-unsupported' })
})

test('a key that is refused is said before anything starts, without the key', async () => {
  const access = { ...daytona.access, apiKey: 'dtn_wrong_0123456789' }
  const stranger = createDaytonaProvider({ access })
  const failure: unknown = await stranger.check(harness.makeSpec()).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'provider-auth' })
  expect(JSON.stringify(failure) + String(failure)).not.toContain(access.apiKey)
  await stranger.close()
  const elsewhere = createDaytonaProvider({ access: { ...daytona.access, organizationId: 'another' } })
  await expect(elsewhere.place()).rejects.toMatchObject({
    code: 'provider-auth',
    message: expect.stringMatching(/another/),
  })
  await elsewhere.close()
})

test('an address at which nobody answers is named with the reason', async () => {
  const nowhere = createDaytonaProvider({ access: { ...daytona.access, apiUrl: 'http://127.0.0.1:9/api' } })
  const failure = { code: 'provider-unavailable', message: expect.stringMatching(/ECONNREFUSED|bad port/) }
  await expect(nowhere.place()).rejects.toMatchObject(failure)
  await nowhere.close()
})

test('a removal whose answer was lost is seen through', async () => {
  const { request } = await open()
  daytona.fail({ method: 'DELETE', path: /^\/api\/sandbox\//, lose: 'answer' })
  await provider.destroy(request.name)
  expect(daytona.sandboxes.names()).toEqual([])
})

test('a sandbox that Rollcall did not make is neither taken over nor removed', async () => {
  const request = makeRequest()
  const order = { name: request.name, buildInfo: { dockerfileContent: `FROM ${testImages.debian}\n` } }
  const theirs = daytona.sandboxes.create(order)
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'sandbox-conflict' })
  await provider.destroy(request.name)
  expect(daytona.sandboxes.names()).toEqual([request.name])
  expect(await provider.find(request.name)).toBeUndefined()
  daytona.sandboxes.destroy(theirs)
  await expect.poll(() => daytona.sandboxes.names()).toEqual([])
})

test('a sandbox that Daytona has stopped or ended is lost, and is not started again', async () => {
  const { request, run } = await open()
  const sandbox = daytona.sandboxes.get(request.name)
  sandbox.dto.autoDeleteInterval = 60
  await daytona.sandboxes.stop(sandbox)
  expect(await provider.find(request.name)).toMatchObject({ state: 'dead' })
  await expect(run('true')).rejects.toMatchObject({ code: 'sandbox-lost' })
  await expect(provider.connect(request.name)).rejects.toMatchObject({ code: 'sandbox-lost' })
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'sandbox-lost' })
})

test('Daytona’s own clocks are set beyond the lifetime, with labels, network and secrets in the creation itself', async () => {
  const secrets = { MODEL_KEY: 'team-model-key' }
  const named = createDaytonaProvider({ access: { ...daytona.access, secrets } })
  const request = makeRequest({ network: { mode: 'none' }, secrets: ['TOKEN'], env: { PLAIN: 'x' } })
  await named.createOrAdopt(request)
  const order = daytona.creations.at(-1)
  expect(order).toMatchObject({
    name: request.name,
    user: 'root',
    autoStopInterval: 16,
    ttlMinutes: 16,
    autoDeleteInterval: 0,
    networkBlockAll: true,
    secrets: [{ MODEL_KEY: 'team-model-key' }],
    env: { PLAIN: 'x' },
  })
  expect(order?.labels).toMatchObject({
    'rollcall.owner': request.ownership.owner,
    'rollcall.spec': request.ownership.spec,
  })
  expect(JSON.stringify(daytona.creations)).not.toContain('secret of TOKEN')
  await named.close()
})

test('hosts of an allowlist are domains and networks, GPUs a count and types', async () => {
  const network = { mode: 'allowlist', hosts: ['pypi.org', '*.example.com', '10.1.2.3', '10.0.0.0/8'] } as const
  const gpus = { count: 2, types: ['H100', 'H200'] }
  await provider.createOrAdopt(
    makeRequest({ network, resources: { gpus, cpus: 2, memoryMiB: 4096, storageMiB: 10_240 } }),
  )
  expect(daytona.creations.at(-1)).toMatchObject({
    domainAllowList: 'pypi.org,*.example.com',
    networkAllowList: '10.1.2.3/32,10.0.0.0/8',
    gpu: 2,
    gpuType: ['H100', 'H200'],
    cpu: 2,
    memory: 4,
    disk: 10,
  })
})

test('a snapshot is made from by its name alone; one that is not there is a missing image', async () => {
  const { run, sandbox } = await open({ image: { type: 'name', name: 'snapshot:team/base' } })
  expect(textOf(await run('cat /etc/os-release'))).toMatch(/Debian/)
  expect(sandbox.image).toBe('snapshot:team/base')
  const missing = makeRequest({ image: { type: 'name', name: 'snapshot:team/none' } })
  await expect(provider.createOrAdopt(missing)).rejects.toMatchObject({ code: 'image-missing' })
})

test('an image that no registry has is missing', async () => {
  const missing = makeRequest({ image: { type: 'name', name: 'rollcall-test/no-such:1' } })
  await expect(provider.createOrAdopt(missing)).rejects.toMatchObject({ code: 'image-missing' })
})

test('a Dockerfile with files is built once, with the image map in its FROM lines', async () => {
  await withDirectory(async (directory) => {
    await writeFile(join(directory, 'greeting.txt'), `hello ${randomUUID()}\n`)
    await writeFile(
      join(directory, 'Dockerfile'),
      'FROM debian:bookworm-slim\nWORKDIR /work\nCOPY greeting.txt /work/greeting.txt\nRUN echo built >/work/built\n',
    )
    const image = { type: 'dockerfile', directory, contentHash: randomUUID() } as const
    const before = daytona.images.builds
    const [one] = await Promise.all([open({ image }), open({ image })])
    expect(textOf(await one.run('pwd; cat greeting.txt built'))).toMatch(/^\/work\nhello .*\nbuilt\n$/)
    expect(daytona.images.builds - before).toBe(1)
    expect(await provider.find(one.request.name)).toMatchObject({ workdir: '/work' })
  })
})

test('a Dockerfile that does not build says so with the builder’s own words', async () => {
  await withDirectory(async (directory) => {
    await writeFile(join(directory, 'Dockerfile'), 'FROM debian:bookworm-slim\nRUN exit 7\n')
    const request = makeRequest({ image: { type: 'dockerfile', directory, contentHash: randomUUID() } })
    const failure = { code: 'image-build-failed', message: expect.stringMatching(/exit 7/) }
    await expect(provider.createOrAdopt(request)).rejects.toMatchObject(failure)
  })
})

test('more sandboxes than fit on one page are listed, and none that is gone', async () => {
  const requests = Array.from({ length: 7 }, () => {
    const request = makeRequest()
    return { ...request, ownership: { ...request.ownership, spec: specHash(request.spec) } }
  })
  await Promise.all(requests.map((request) => provider.createOrAdopt(request)))
  const [first] = requests
  await provider.destroy(first?.name ?? '')
  const other = createDaytonaProvider({ access: daytona.access })
  const names = async () => (await other.list({ job: first?.ownership.job ?? '' })).map(({ name }) => name).toSorted()
  await expect.poll(names).toEqual(
    requests
      .slice(1)
      .map(({ name }) => name)
      .toSorted(),
  )
  await other.close()
})

test('the terminal’s own shell runs no file that an agent has changed', async () => {
  const { run, attach } = await open()
  await run('for f in .bashrc .profile .shrc; do echo "exit 9" >~/$f; done')
  const successor = attach()
  const id = { scope: 'successor', phase: 1, batch: 0, call: 0, part: 0 }
  expect(textOf(await successor.exec({ id, script: 'echo "$HOME"', timeoutMs: 10_000 }))).toBe('/root\n')
})

test('connections that are cut again and again in a command change nothing: it runs once, its output is whole', async () => {
  const { run, runner, nextId } = await open()
  const script =
    'echo begun >>/tmp/effects; until [ -e /tmp/go ]; do sleep 0.05; done; seq 1 20000; echo ended >>/tmp/effects'
  const answer = runner.exec({ id: nextId(), script, timeoutMs: 60_000, captureBytes: 200_000 })
  await expect.poll(async () => textOf(await run('cat /tmp/effects 2>/dev/null || :'))).toBe('begun\n')
  daytona.cutTerminals()
  daytona.fail({ method: 'WS', path: /pty/, times: 2, answer: { status: 502, message: 'Bad Gateway' } })
  await run('touch /tmp/go')
  daytona.cutTerminals()
  expect((await answer).stdout.bytes).toBe(108_894)
  expect(textOf(await run('cat /tmp/effects'))).toBe('begun\nended\n')
})
