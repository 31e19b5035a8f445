import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { eventually, succeeded } from '../conformance/expectations.ts'
import { createDockerProvider } from './docker-provider.ts'
import { openDockerFixture, type DockerFixture } from './testing/docker-fixture.ts'

let docker: DockerFixture

beforeAll(async () => {
  docker = await openDockerFixture()
})

afterEach(() => docker.cleanUp('case'))

afterAll(() => docker.dispose())

test('a Dockerfile is built with imageMap applied, and its ENV, USER, WORKDIR and ENTRYPOINT hold', async () => {
  for (const base of ['python:3.12-slim', 'busybox:1.36']) {
    const entrypoint = '["sh", "-c", "(id -un; pwd; echo $FROM_IMAGE $HOME $0) >/tmp/entry; sleep 1000"]'
    const dockerfile = `# syntax=docker/dockerfile:1\nFROM ${base} AS first\nRUN echo built >/built\nFROM first\nENV FROM_IMAGE=yes\nCOPY data.txt /data.txt\nUSER agent\nWORKDIR /home/agent\nENTRYPOINT ${entrypoint}\nCMD ["argument"]\n`
    const image = await docker.writeContext({ Dockerfile: dockerfile, 'data.txt': 'data\n' })
    const { run, sandbox } = await docker.open({ image })
    expect(sandbox.workdir).toBe('/home/agent')
    expect(succeeded(await run('cat /built /data.txt; pwd; id -un; echo $FROM_IMAGE'))).toBe(
      'built\ndata\n/home/agent\nagent\nyes\n',
    )
    await eventually('the entrypoint has run', async () =>
      succeeded(await run('cat /tmp/entry || :')).endsWith('argument\n'),
    )
    expect(succeeded(await run('cat /tmp/entry'))).toBe('agent\n/home/agent\nyes /home/agent argument\n')
    expect(succeeded(await run('id -un; pwd', { user: 'root' }))).toBe('root\n/home/agent\n')
  }
})

test('an entrypoint that ends at once ends nothing else', async () => {
  const image = await docker.writeContext({ Dockerfile: 'FROM python:3.12-slim\nENTRYPOINT ["false"]\n' })
  const { run } = await docker.open({ image })
  expect(succeeded(await run('echo alive'))).toBe('alive\n')
})

test('a Dockerfile is built once, however many rollouts and workers ask at the same time', async () => {
  const image = await docker.writeContext({ Dockerfile: `FROM python:3.12-slim\nRUN sleep 1; echo ${randomUUID()}\n` })
  const other = createDockerProvider({ connection: docker.connection, stateDirectory: `${docker.directory}/state` })
  const builders: string[] = []
  const create = async (provider: typeof other, worker: string) => {
    const onProgress = (line: string) => line === 'building image' && builders.push(worker)
    return provider.createOrAdopt({ ...docker.makeRequest({ image }), onProgress })
  }
  const sandboxes = await Promise.all([
    create(docker.provider, 'a'),
    create(docker.provider, 'a'),
    create(other, 'b'),
    create(other, 'b'),
  ])
  expect(new Set(sandboxes.map((sandbox) => sandbox.image)).size).toBe(1)
  expect(new Set(builders).size).toBe(1)
  await create(other, 'later')
  expect(builders).not.toContain('later')
})

test('a built image outlives its sandboxes', async () => {
  const image = await docker.writeContext({ Dockerfile: 'FROM python:3.12-slim\nRUN true\n' })
  const { sandbox } = await docker.open({ image })
  await docker.provider.destroy(sandbox.name)
  expect((await docker.docker.getImage(sandbox.image).inspect()).RepoTags?.[0]).toMatch(
    /^rollcall\/built:[0-9a-f]{32}$/,
  )
})

test('a Dockerfile that does not build is a failure that shows the end of its log', async () => {
  const image = await docker.writeContext({
    Dockerfile: 'FROM python:3.12-slim\nRUN echo first; echo "the reason" >&2; exit 7\n',
  })
  await expect(docker.open({ image })).rejects.toMatchObject({
    code: 'image-build-failed',
    message: expect.stringMatching(/exit code: 7[^]*first[^]*the reason/),
  })
})

test('a layer script runs once as root on top of the image, whose user stays', async () => {
  const context = await docker.writeContext({ Dockerfile: 'FROM python:3.12-slim\nUSER agent\nWORKDIR /home/agent\n' })
  const lines: string[] = []
  const order = { image: context, layerScript: 'id -un >/layer; echo "$0" >&2' }
  const create = () =>
    docker.provider.createOrAdopt({ ...docker.makeRequest(order), onProgress: (line) => lines.push(line) })
  const [first, second] = [await create(), await create()]
  expect(second.image).toBe(first.image)
  expect(lines.filter((line) => line === 'building image layer')).toHaveLength(1)
  const { run } = await docker.open(order)
  expect(succeeded(await run('cat /layer; id -un; pwd; ls /.rollcall-layer.sh 2>/dev/null || echo clean'))).toBe(
    'root\nagent\n/home/agent\nclean\n',
  )
})

test('another layer script, or the same on another image, is another layer', async () => {
  const debian = await docker.writeContext({ Dockerfile: 'FROM python:3.12-slim\n' })
  const busybox = await docker.writeContext({ Dockerfile: 'FROM busybox:1.36\n' })
  const orders = [
    { image: debian, layerScript: 'echo a' },
    { image: debian, layerScript: 'echo b' },
    { image: busybox, layerScript: 'echo a' },
  ]
  const sandboxes = await Promise.all(orders.map((order) => docker.provider.createOrAdopt(docker.makeRequest(order))))
  const images = sandboxes.map((sandbox) => sandbox.image)
  expect(new Set(images).size).toBe(3)
})

test('an image that is not here and whose registry is out of reach is an unavailable provider, with advice', async () => {
  await expect(docker.open({ image: { type: 'name', name: '127.0.0.1:9/no/such:image' } })).rejects.toMatchObject({
    code: 'provider-unavailable',
    message: expect.stringContaining('--image-map'),
  })
})

test('an image without sh is refused with that reason', async () => {
  const image = await docker.writeContext({ Dockerfile: 'FROM scratch\nCOPY data /data\n', data: 'x' })
  await expect(docker.open({ image })).rejects.toMatchObject({
    code: 'sandbox-create-failed',
    message: expect.stringContaining('POSIX sh'),
  })
})

test('who waits too long for a build is told so; the build goes on and is found by the next attempt', async () => {
  const image = await docker.writeContext({ Dockerfile: `FROM python:3.12-slim\nRUN sleep 2; echo ${randomUUID()}\n` })
  const limits = { ...docker.makeSpec().limits, startTimeoutMs: 500 }
  await expect(docker.open({ image, limits })).rejects.toMatchObject({ code: 'sandbox-start-timeout' })
  const lines: string[] = []
  await docker.provider.createOrAdopt({ ...docker.makeRequest({ image }), onProgress: (line) => lines.push(line) })
  expect(lines).not.toContain('building image')
})

test('a start limit beyond what a timer can wait for does not come at once', async () => {
  const limits = { ...docker.makeSpec().limits, startTimeoutMs: 30 * 86_400_000 }
  const { run } = await docker.open({ limits })
  expect(succeeded(await run('echo ready'))).toBe('ready\n')
})
