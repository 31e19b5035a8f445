import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Status } from 'nice-grpc'
import { afterAll, afterEach, expect, test } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { Nodes } from '../../compute/index.ts'
import { ensureTestImages } from '../../scripts/test-images.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { createConformanceHarness } from '../conformance/conformance-context.ts'
import { succeeded } from '../conformance/expectations.ts'
import type { SandboxSpec } from '../contract/runtime.ts'
import { connectToDocker, dockerConnection } from '../docker/docker-connection.ts'
import { ModalAccount } from './modal-account.ts'
import { createModalProvider } from './modal-provider.ts'
import { modalSettings } from './modal-settings.ts'
import { modalEnvironment, openModalProvider } from './testing/modal-fixture.ts'
import { startModalServer } from './testing/modal-server.ts'

/** What Modal does besides working: losing answers, slowing down, having no room, ending things by itself. */

const connection = dockerConnection(process.env['DOCKER_HOST'])
const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
const folder = await temporaryFolder('modal')
const server = await startModalServer(connectToDocker(connection).streams)
const provider = await openModalProvider(server)
const harness = createConformanceHarness(provider, { imageMap })
const { makeRequest, makeSpec, open } = harness

afterEach(async () => {
  server.faults.clear()
  await harness.cleanUp('case')
})

afterAll(async () => {
  await harness.cleanUp('all')
  await server.stop()
})

const running = () => server.plane.sandboxes.filter(({ machine }) => machine.result === undefined)

test('a creation whose answers were all lost is adopted, not doubled', async () => {
  const before = server.faults.count('SandboxCreateV2')
  server.faults.add({ method: 'SandboxCreateV2', times: 4, losesAnswer: true })
  const request = makeRequest()
  const sandbox = await provider.createOrAdopt(request)
  expect(server.faults.count('SandboxCreateV2') - before).toBe(4)
  expect(await provider.find(request.name)).toMatchObject({ id: sandbox.id, state: 'running' })
  expect(running()).toHaveLength(1)
})

test('what is out of reach for a moment is asked again; for longer it is unavailable, and nothing is left of it', async () => {
  server.faults.add({ method: 'SandboxCreateV2', times: 2 })
  await provider.createOrAdopt(makeRequest())
  server.faults.add({ method: 'SandboxCreateV2', times: 4 })
  await expect(provider.createOrAdopt(makeRequest())).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(running()).toHaveLength(1)
})

test('a short wait that the server asks for is waited, a long one is told on with its time', async () => {
  const throttled = { method: 'SandboxCreateV2', status: Status.RESOURCE_EXHAUSTED, details: 'rate limit exceeded' }
  server.faults.add({ ...throttled, retryAfterSecs: 0.2 })
  await provider.createOrAdopt(makeRequest())
  server.faults.add({ ...throttled, retryAfterSecs: 45 })
  const busy = provider.createOrAdopt(makeRequest())
  await expect(busy).rejects.toMatchObject({ code: 'provider-busy', retryAfterMs: 45_000 })
})

test('a quota is no outage: room is waited for, money is not', async () => {
  const full = { method: 'SandboxCreateV2', status: Status.RESOURCE_EXHAUSTED }
  server.faults.add({ ...full, details: 'Workspace has too many concurrent sandboxes' })
  await expect(provider.createOrAdopt(makeRequest())).rejects.toMatchObject({
    code: 'provider-busy',
    message: expect.stringContaining('quota of the account, not an outage'),
    retryAfterMs: expect.any(Number),
  })
  server.faults.add({ ...full, details: 'Workspace billing cycle spend limit reached' })
  await expect(provider.createOrAdopt(makeRequest())).rejects.toMatchObject({ code: 'sandbox-create-failed' })
})

test('credentials that are refused are found out before anything starts, and are in no message', async () => {
  const env = { ...modalEnvironment(server), MODAL_TOKEN_SECRET: 'as-wrong-and-private' }
  const stranger = await createModalProvider(modalSettings({}, env))
  const refusal: unknown = await stranger.check(makeSpec()).catch((error: unknown) => error)
  expect(refusal).toMatchObject({ code: 'provider-auth' })
  expect(JSON.stringify([String(refusal), refusal])).not.toContain('as-wrong-and-private')
})

test('a command goes on while its connection is cut and comes back, and runs once', async () => {
  const { run, runner, nextId } = await open()
  const script = 'echo begun >>/tmp/effects; until [ -e /tmp/go ]; do sleep 0.05; done; cat /tmp/effects'
  const answer = runner.exec({ id: nextId(), script, timeoutMs: 60_000 })
  await expect.poll(async () => succeeded(await run('cat /tmp/effects 2>/dev/null || :'))).toBe('begun\n')
  await server.cutRouter()
  succeeded(await run('touch /tmp/go'))
  expect(succeeded(await answer)).toBe('begun\n')
})

test('a command that was started and not answered is not started again', async () => {
  const { run } = await open()
  server.faults.add({ method: 'TaskExecStart', times: 2, losesAnswer: true })
  server.faults.add({ method: 'TaskExecStdinWrite', times: 3, losesAnswer: true })
  server.faults.add({ method: 'TaskExecStdioRead', times: 2 })
  await server.cutRouter()
  expect(succeeded(await run('echo x >>/tmp/once; cat /tmp/once'))).toBe('x\n')
})

test('another worker finds it by name, and its commands with it', async () => {
  const { run, request, runner, nextId } = await open()
  const id = nextId()
  const exec = { id, script: 'echo x >>/tmp/shared; cat /tmp/shared', timeoutMs: 30_000 }
  succeeded(await runner.exec(exec))
  const other = createConformanceHarness(await openModalProvider(server), { imageMap })
  const adopted = await other.openRequest(request)
  expect(succeeded(await adopted.runner.exec(exec))).toBe('x\n')
  expect(succeeded(await run('cat /tmp/shared'))).toBe('x\n')
  await other.cleanUp('all')
})

test('a removal whose answer was lost is a removal', async () => {
  const { sandbox } = await open()
  server.faults.add({ method: 'SandboxTerminateV2', times: 1, losesAnswer: true })
  server.faults.add({ method: 'SandboxWaitV2', times: 2 })
  await provider.destroy(sandbox.name)
  expect(await provider.find(sandbox.name)).toBeUndefined()
  expect(running()).toHaveLength(0)
})

test('one that ended by itself is lost for good: it is not made again in its place', async () => {
  const { request } = await open()
  const [only] = running()
  await only?.machine.end(1, 70)
  expect(await provider.find(request.name)).toMatchObject({ state: 'dead', reason: 'exited' })
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'sandbox-lost' })
  await provider.destroy(request.name)
  expect(await provider.find(request.name)).toBeUndefined()
})

test('lifetime and idle limit are Modal’s as well, in whole seconds and after the runner’s own', async () => {
  const limits = { ...makeSpec().limits, lifetimeMs: 3_600_500, idleTimeoutMs: 1_200 }
  const { name } = await provider.createOrAdopt(makeRequest({ limits }))
  expect(running()[0]?.definition).toMatchObject({ timeoutSecs: 3_611, idleTimeoutSecs: 2 })
  await expect.poll(async () => (await provider.find(name))?.state, { timeout: 10_000 }).toBe('dead')
})

test('a sandbox of that name that Rollcall did not make is neither taken nor removed', async () => {
  const request = makeRequest()
  const account = await ModalAccount.open(modalSettings({}, modalEnvironment(server)))
  const image = account.client.images.fromRegistry(imageMap['debian:12'] ?? '')
  await account.client.sandboxes.create(await account.app(), image, { name: request.name, command: ['sleep', '60'] })
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'sandbox-conflict' })
  await provider.destroy(request.name)
  expect(running()).toHaveLength(1)
  await running()[0]?.machine.end(3)
})

test('a GPU is asked for by type and count, and the older kind of sandbox is found and removed like the others', async () => {
  const gpus = { count: 2, types: ['no-such', 'a100'] }
  const spec: Partial<SandboxSpec> = { resources: { gpus, cpus: 2, memoryMiB: 512 }, secrets: ['TOKEN'] }
  const { run, sandbox, request } = await open(spec)
  expect(running()[0]).toMatchObject({
    isOld: true,
    definition: {
      resources: { milliCpu: 2_000, milliCpuMax: 2_000, memoryMb: 512, gpuConfig: { count: 2, gpuType: 'A100' } },
    },
  })
  expect(succeeded(await run('printf %s "$TOKEN"'))).toBe('secret of TOKEN')
  expect(await provider.createOrAdopt(request)).toEqual(sandbox)
  await provider.destroy(sandbox.name)
  expect(running()).toHaveLength(0)
})

test('an allowlist is names and networks, none is no network', async () => {
  const hosts = ['pypi.org', '*.example.com', '10.0.0.0/8', '192.0.2.7']
  await provider.createOrAdopt(makeRequest({ network: { mode: 'allowlist', hosts } }))
  await provider.createOrAdopt(makeRequest({ network: { mode: 'none' } }))
  const [first, second] = running()
  expect(first?.definition.networkAccess).toMatchObject({
    allowedDomains: ['pypi.org', '*.example.com'],
    allowedCidrs: ['10.0.0.0/8', '192.0.2.7/32'],
  })
  expect(second?.definition.networkAccess?.networkAccessType).toBe(2)
})

async function context(files: Readonly<Record<string, string>>): Promise<SandboxSpec['image']> {
  const directory = join(folder, crypto.randomUUID())
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, '..'), { recursive: true })
    await writeFile(join(directory, name), text)
  }
  return { type: 'dockerfile', directory, contentHash: directory }
}

test('a Dockerfile is built: files, variables, users, commands, and what it would have started is started', async () => {
  const image = await context({
    Dockerfile: `ARG BASE=debian:12
FROM \${BASE}
ENV HOME_OF_IT="/opt/my app"
WORKDIR /opt/work
COPY . all/
COPY --chmod=750 --chown=nobody:0 tool.sh $HOME_OF_IT/renamed.sh
COPY tool.sh data/*.txt ./
RUN mkdir ready && \\
    cp one.txt ready/made
USER nobody
ADD data /opt/data
CMD echo "begun as $(id -un)" >/tmp/begun; exec sleep 60
`,
    'tool.sh': '#!/bin/sh\necho "it\'s a tool"\n',
    'data/one.txt': 'one\n',
    'data/deep/two.txt': 'two\n',
  })
  const { run, sandbox } = await open({ image, layerScript: 'echo layer >/opt/layer' })
  expect(sandbox.workdir).toBe('/opt/work')
  expect(sandbox.image).toMatch(/^Dockerfile from rollcall-test\/debian:latest \(im-\w+\)$/)
  expect(succeeded(await run('id -un; cat all/data/deep/two.txt one.txt ready/made /opt/layer'))).toBe(
    'nobody\ntwo\none\none\nlayer\n',
  )
  const listed = await run(
    `sh "$HOME_OF_IT/renamed.sh"; stat -c '%a %U' "$HOME_OF_IT/renamed.sh"; ls /opt/data /opt/work`,
  )
  expect(succeeded(listed)).toBe(
    `it's a tool\n750 nobody\n/opt/data:\ndeep\none.txt\n\n/opt/work:\nall\none.txt\nready\ntool.sh\n`,
  )
  await expect.poll(async () => succeeded(await run('cat /tmp/begun 2>/dev/null || :'))).toBe('begun as nobody\n')
  expect(succeeded(await run('ls -a / | grep -c rollcall-copy || :'))).toBe('0\n')
})

test('an image that is not there and one that does not build are told apart', async () => {
  const absent = makeRequest({ image: { type: 'name', name: 'registry.example/nothing:1' } })
  await expect(provider.createOrAdopt(absent)).rejects.toMatchObject({ code: 'image-missing' })
  const image = await context({ Dockerfile: 'FROM debian:12\nRUN exit 7\n' })
  await expect(provider.createOrAdopt(makeRequest({ image }))).rejects.toMatchObject({ code: 'image-build-failed' })
})

test('an image is used by the name it was published under', async () => {
  const account = await ModalAccount.open(modalSettings({}, modalEnvironment(server)))
  const image = account.client.images.fromRegistry(imageMap['debian:12'] ?? '')
  const { imageId } = await image.dockerfileCommands(['RUN echo kept >/kept']).build(await account.app())
  server.plane.images.publish('mine:v1', imageId)
  const { run } = await open({ image: { type: 'name', name: 'modal://mine:v1' } })
  expect(succeeded(await run('cat /kept'))).toBe('kept\n')
})

test('a node of this type answers with its round trip, and offers the GPU that it was added with', async () => {
  const nodes = new Nodes({ env: modalEnvironment(server), stateDirectory: join(folder, 'nodes') })
  const { report } = await nodes.add({ name: 'cloud', type: 'modal', settings: { gpu: 'A100' } })
  expect(report).toMatchObject({ os: 'unknown', gpus: [{ name: 'A100' }], roundTripMs: expect.any(Number) })
  const refused = new Nodes({ env: {}, stateDirectory: join(folder, 'nodes') })
  await expect(refused.add({ name: 'none', type: 'modal' })).rejects.toMatchObject({ code: 'provider-auth' })
})
