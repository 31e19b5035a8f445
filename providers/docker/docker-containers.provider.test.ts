import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { eventually, succeeded } from '../conformance/expectations.ts'
import { createDockerProvider } from './docker-provider.ts'
import { openCuttingProxy } from './testing/cutting-proxy.ts'
import { openDockerFixture, type DockerFixture } from './testing/docker-fixture.ts'

let docker: DockerFixture

beforeAll(async () => {
  docker = await openDockerFixture()
})

afterEach(() => docker.cleanUp('case'))

afterAll(() => docker.dispose())

test.each(['POST /containers/create', 'POST /containers/'])(
  'a creation whose answer to %s was lost is adopted by the repetition',
  async (requestLine) => {
    if (!('socketPath' in docker.connection)) throw new Error('this test needs the Engine’s unix socket')
    const proxy = await openCuttingProxy(docker.connection.socketPath, join(docker.directory, `${randomUUID()}.sock`))
    const provider = createDockerProvider({ connection: proxy, stateDirectory: docker.directory })
    const request = docker.makeRequest()
    try {
      if (requestLine.endsWith('create')) proxy.loseAnswerOf(requestLine)
      else proxy.loseAnswerOf(`POST /containers/${request.name}/start`)
      await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'provider-unavailable' })
      const left = await docker.docker.getContainer(request.name).inspect()
      expect(await provider.createOrAdopt(request)).toMatchObject({ name: request.name, id: left.Id })
      expect(await provider.find(request.name)).toMatchObject({ state: 'running', id: left.Id })
    } finally {
      proxy.close()
    }
  },
)

test('a container that Rollcall did not make is neither adopted nor found, listed or destroyed', async () => {
  const request = docker.makeRequest()
  const foreign = await docker.docker.createContainer({ name: request.name, Image: 'rollcall-test/busybox:latest' })
  try {
    await expect(docker.provider.createOrAdopt(request)).rejects.toMatchObject({
      code: 'sandbox-conflict',
      message: expect.stringContaining('nobody of Rollcall'),
    })
    expect(await docker.provider.find(request.name)).toBeUndefined()
    await docker.provider.destroy(request.name)
    expect((await foreign.inspect()).Name).toBe(`/${request.name}`)
  } finally {
    await foreign.remove({ force: true })
  }
})

test('a name that is the beginning of a container’s id finds nothing and destroys nothing', async () => {
  const { sandbox } = await docker.open()
  const prefix = sandbox.id.slice(0, 12)
  expect(await docker.provider.find(prefix)).toBeUndefined()
  await docker.provider.destroy(prefix)
  expect(await docker.provider.find(sandbox.name)).toMatchObject({ state: 'running' })
})

test('limits are really set, nothing is published, and only our labels are there', async () => {
  const resources = { cpus: 0.5, memoryMiB: 96, pids: 100 }
  const { sandbox, run, request } = await docker.open({ resources, secrets: ['CONFORMANCE_TOKEN'] })
  const { HostConfig, Config, NetworkSettings } = await docker.docker.getContainer(sandbox.id).inspect()
  expect(HostConfig).toMatchObject({
    Init: true,
    NanoCpus: 500_000_000,
    Memory: 96 * 1024 * 1024,
    MemorySwap: 96 * 1024 * 1024,
    PidsLimit: 100,
    NetworkMode: 'none',
    PublishAllPorts: false,
    Privileged: false,
  })
  expect(Object.values(NetworkSettings.Ports).filter(Boolean)).toEqual([])
  const labels = Object.keys(Config.Labels).filter((key) => key.startsWith('rollcall.'))
  expect(labels.toSorted()).toEqual(
    [...Object.keys(request.ownership), 'workdir'].map((key) => `rollcall.${key}`).toSorted(),
  )
  expect(JSON.stringify(Config.Labels)).not.toContain('secret of')
  const limit = await run('cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || :')
  expect(succeeded(limit).trim()).toBe(String(96 * 1024 * 1024))
})

test('a public network is a bridge, without published ports', async () => {
  const { sandbox } = await docker.open({ network: { mode: 'public' } })
  const { HostConfig, NetworkSettings } = await docker.docker.getContainer(sandbox.id).inspect()
  expect(HostConfig.NetworkMode).toBe('bridge')
  expect(Object.values(NetworkSettings.Ports).filter(Boolean)).toEqual([])
  expect(Object.keys(NetworkSettings.Networks)).toEqual(['bridge'])
})

test('mounts are there, read-only where asked, and uids inside are those outside', async () => {
  const source = join(docker.directory, 'mounted')
  await mkdir(source)
  await writeFile(join(source, 'given.txt'), 'given\n')
  const { run } = await docker.open({
    mounts: [
      { source, target: '/writable', readOnly: false },
      { source, target: '/read-only', readOnly: true },
    ],
  })
  const script =
    'cat /read-only/given.txt; echo made >/writable/made.txt; chown 4711 /writable/made.txt; touch /read-only/x'
  const result = await run(script)
  expect(result.outcome).toEqual({ type: 'exited', code: 1 })
  expect(result.stdout.head.toString()).toBe('given\n')
  expect(result.stderr.head.toString()).toMatch(/Read-only file system/)
  expect(await readFile(join(source, 'made.txt'), 'utf8')).toBe('made\n')
  expect((await stat(join(source, 'made.txt'))).uid).toBe(4711)
})

test('a mount whose source is missing is refused, naming it', async () => {
  const mounts = [{ source: '/no/such/source', target: '/x', readOnly: true }]
  await expect(docker.open({ mounts })).rejects.toMatchObject({
    code: 'sandbox-create-failed',
    message: expect.stringContaining('/no/such/source'),
  })
})

test('a sandbox that ran out of memory as a whole is told apart from one that was killed', async () => {
  const starved = await docker.open({ resources: { memoryMiB: 48 } })
  // The kernel is told to take process 1 first, and what fills the memory belongs to no process.
  const script = 'echo 0 >/proc/self/oom_score_adj; echo 1000 >/proc/1/oom_score_adj; cat /dev/zero >/dev/shm/x'
  await starved.run(script).catch(() => undefined)
  await eventually('it is dead', async () => (await docker.provider.find(starved.sandbox.name))?.state === 'dead')
  expect(await docker.provider.find(starved.sandbox.name)).toMatchObject({ state: 'dead', reason: 'oom' })

  const killed = await docker.open()
  await docker.docker.getContainer(killed.sandbox.id).kill()
  expect(await docker.provider.find(killed.sandbox.name)).toMatchObject({ state: 'dead', reason: 'exited' })
  await expect(docker.provider.createOrAdopt(killed.request)).rejects.toMatchObject({ code: 'sandbox-lost' })
  expect((await docker.provider.list({ owner: killed.request.ownership.owner })).map(({ state }) => state)).toEqual([
    'dead',
  ])
})

test('a container that somebody starts again is dead: its journal is gone, and nothing may run twice', async () => {
  const { sandbox } = await docker.open()
  const container = docker.docker.getContainer(sandbox.id)
  await container.restart({ t: 0 })
  await eventually('it is dead', async () => (await docker.provider.find(sandbox.name))?.state === 'dead')
  await expect(docker.provider.connect(sandbox.name)).rejects.toMatchObject({ code: 'sandbox-lost' })
})

test('a paused container is waited for', async () => {
  const { sandbox } = await docker.open()
  const container = docker.docker.getContainer(sandbox.id)
  await container.pause()
  const connecting = docker.provider.connect(sandbox.name)
  expect(await docker.provider.find(sandbox.name)).toMatchObject({ state: 'running' })
  await container.unpause()
  const stream = await connecting
  stream.destroy()
})

test('a picture of the system folders shows what has changed there, and nothing else', async () => {
  const { run, sandbox } = await docker.open()
  const look = async () => (await docker.provider.systemPicture?.(sandbox.name))?.paths ?? []
  // The Engine itself adds its init.
  const before = (await look()).map(([path]) => path)
  succeeded(await run('touch /etc/added /app-file; rm /bin/wc'))
  const files = (await look()).filter(([path, mark]) => !before.includes(path) && mark !== 'changed')
  expect(Object.fromEntries(files)).toEqual({ '/etc/added': 'added', '/usr/bin/wc': 'removed' })
})

test('an attachment ends when its container is removed', async () => {
  const { sandbox } = await docker.open()
  const stream = await docker.provider.connect(sandbox.name)
  stream.resume()
  const ended = once(stream, 'end')
  await docker.provider.destroy(sandbox.name)
  await ended
})

test('an attachment works when the working directory has been removed inside', async () => {
  const { run, attach, nextId, sandbox } = await docker.open({ workdir: '/gone' })
  succeeded(await run('rm -rf /gone', { cwd: '/' }))
  const runner = attach()
  expect(succeeded(await runner.exec({ id: nextId(), script: 'pwd', cwd: '/tmp', timeoutMs: 10_000 }))).toBe('/tmp\n')
  expect(sandbox.workdir).toBe('/gone')
})

test('an Engine that does not answer is an unavailable provider, with its address and advice', async () => {
  const provider = createDockerProvider({
    connection: { socketPath: '/no/such.sock' },
    stateDirectory: docker.directory,
  })
  for (const call of [
    provider.place(),
    provider.find('x'),
    provider.list({}),
    provider.destroy('x'),
    provider.connect('x'),
  ]) {
    await expect(call).rejects.toMatchObject({
      code: 'provider-unavailable',
      message: expect.stringContaining('/no/such.sock'),
    })
  }
})

test('a secret without a value is missing, before anything is created', async () => {
  const request = { ...docker.makeRequest({ secrets: ['NOT_GIVEN'] }), secrets: {} }
  await expect(docker.provider.createOrAdopt(request)).rejects.toMatchObject({
    code: 'secret-missing',
    message: expect.stringContaining('NOT_GIVEN'),
  })
  expect(await docker.provider.find(request.name)).toBeUndefined()
})

test.each(['busybox', 'debian'])(
  'beside a full process table of %s deadlines and the lifetime are kept',
  async (image) => {
    const limits = { ...docker.makeSpec().limits, lifetimeMs: 6_000 }
    const name = `rollcall-test/${image}:latest`
    const { sandbox, runner, nextId } = await docker.open({
      image: { type: 'name', name },
      resources: { pids: 60 },
      limits,
    })
    const first = runner.exec({ id: nextId(), script: 'touch /begun; exec sleep 300', timeoutMs: 1_000 })
    const begun = () => runner.exec({ id: nextId(), script: '[ -e /begun ]', timeoutMs: 10_000 })
    await eventually('the first has begun', async () => {
      const { outcome } = await begun()
      return outcome.type === 'exited' && outcome.code === 0
    })
    const bomb = 'sleep 300 & (while :; do sleep 300 & done); wait'
    const second = runner.exec({ id: nextId(), script: bomb, timeoutMs: 2_000 })
    expect((await first).outcome).toEqual({ type: 'timed-out' })
    expect((await second).outcome).toEqual({ type: 'timed-out' })
    const third = runner.exec({ id: nextId(), script: bomb, timeoutMs: 600_000 })
    const [outcome] = await Promise.allSettled([third])
    expect(outcome).not.toMatchObject({ value: { outcome: { type: 'exited' } } })
    await eventually('it is dead', async () => (await docker.provider.find(sandbox.name))?.state === 'dead')
    expect(await docker.provider.find(sandbox.name)).toMatchObject({ reason: 'lifetime' })
  },
)
