import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, readlink, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createFakeProvider } from '../fake/fake-provider.ts'
import { claim } from './claim.ts'
import { readHostSystem } from './host-system.ts'
import { sandboxPaths } from './paths.ts'
import { isAlive } from './process-identity.ts'
import { readProcessIdentity } from './record.ts'
import { makeRequest, withSandbox } from './sandbox-fixture.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

const run = promisify(execFile)

async function freshProvider() {
  const stateDirectory = await temporaryFolder('host')
  return { provider: createFakeProvider({ stateDirectory }), home: join(stateDirectory, 'fake') }
}

test('the place is the same for every process that shares the state directory, also in a race', async () => {
  const stateDirectory = await temporaryFolder('host')
  const places = await Promise.all([1, 2, 3, 4].map(() => createFakeProvider({ stateDirectory }).place()))
  expect(new Set(places).size).toBe(1)
  expect(await createFakeProvider({ stateDirectory: join(stateDirectory, 'other') }).place()).not.toBe(places[0])
})

test('a sandbox whose creator died before it was started is finished by the next one', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest()
  const { name, ownership } = request
  const record = { version: 1, name, ownership, image: 'x', workdir: '/app', created: '' } as const
  const host = await readHostSystem()
  expect(await claim({ home, record, host, fill: () => Promise.resolve() })).toBe('claimed')
  expect(await claim({ home, record, host, fill: () => Promise.resolve() })).toBe('taken')
  await withSandbox(provider, request, async (shell) => {
    expect(await shell('pwd')).toBe('/app\n')
  })
})

test('an attachment whose sandbox another worker removes leaves no descriptor behind', async () => {
  const { provider, home } = await freshProvider()
  const { name } = await provider.createOrAdopt(makeRequest())
  const attachment = await provider.connect(name)
  // As its user does.
  attachment.on('error', () => {}).once('end', () => attachment.destroy())
  attachment.resume()
  expect(await descriptorsIn(home)).toBeGreaterThan(0)
  await provider.destroy(name)
  await expect.poll(() => descriptorsIn(home)).toBe(0)
})

/** How many files below a folder, deleted ones too, this process has open. */
async function descriptorsIn(folder: string): Promise<number> {
  const fds = await readdir('/proc/self/fd')
  const paths = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return paths.filter((path) => path.startsWith(folder)).length
}

test('a half-made sandbox of another owner is not finished', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest()
  const { name } = request
  const ownership = { ...request.ownership, owner: 'somebody-else' }
  const record = { version: 1, name, ownership, image: 'x', workdir: '/app', created: '' } as const
  const host = await readHostSystem()
  await claim({ home, record, host, fill: () => Promise.resolve() })
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({
    code: 'sandbox-conflict',
    message: expect.stringMatching(/somebody-else.*\(test\.task\.agent\.1\).*not to/),
  })
  await provider.destroy(name)
  expect(await readdir(home)).toEqual([])
})

test('a process that was given the pid of a dead sandbox does not count as it, and is not killed', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest()
  await provider.createOrAdopt(request)
  const paths = sandboxPaths(home, request.name)
  const identity = await readProcessIdentity(paths)
  await provider.destroy(request.name)
  await mkdir(paths.directory, { recursive: true })
  const bystander = { ...identity, pid: process.pid }
  await writeFile(paths.process, JSON.stringify(bystander))
  await provider.destroy(request.name)
  await expect(stat(paths.directory)).rejects.toMatchObject({ code: 'ENOENT' })
})

test('processes of an earlier boot are dead', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest()
  await provider.createOrAdopt(request)
  const identity = await readProcessIdentity(sandboxPaths(home, request.name))
  expect(identity && (await isAlive(identity))).toBe(true)
  expect(identity && (await isAlive({ ...identity, bootId: 'another' }))).toBe(false)
  await provider.destroy(request.name)
  expect(identity && (await isAlive(identity))).toBe(false)
})

test('of two launchers one starts the sandbox', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest()
  await provider.createOrAdopt(request)
  const before = await readFile(sandboxPaths(home, request.name).process, 'utf8')
  const launch = run('/bin/sh', [join(import.meta.dirname, 'launch.sh'), sandboxPaths(home, request.name).directory])
  // No environment on descriptor 3: it must not even look at the lock.
  await expect(launch).rejects.toMatchObject({ code: 77 })
  const second = run('/bin/sh', [
    '-c',
    `echo rollcall_environment=complete | exec sh "$0" "$@" 3<&0`,
    join(import.meta.dirname, 'launch.sh'),
    sandboxPaths(home, request.name).directory,
    'false',
  ])
  await expect(second).rejects.toMatchObject({ code: 75 })
  expect(await readFile(sandboxPaths(home, request.name).process, 'utf8')).toBe(before)
  await provider.destroy(request.name)
})

test('a picture of the system folders shows what has changed there, also where its times are set back', async () => {
  const { provider } = await freshProvider()
  const request = makeRequest()
  await withSandbox(provider, request, async (shell) => {
    const look = async () => new Map((await provider.systemPicture?.(request.name))?.paths)
    const before = await look()
    await shell(
      'touch -r /etc/group /tmp/when; echo x >>/etc/group; touch -r /tmp/when /etc/group; rm /bin; mkdir /bin',
    )
    const after = await look()
    const changed = [...after.keys()].filter((path) => after.get(path) !== before.get(path))
    expect(changed.toSorted()).toEqual(['/bin', '/etc/group'])
  })
})

test('destroying removes read-only files and directories, and only this sandbox', async () => {
  const { provider, home } = await freshProvider()
  const [request, other] = [makeRequest(), makeRequest()]
  await provider.createOrAdopt(other)
  await withSandbox(provider, request, async (shell) => {
    await shell('mkdir -p /app/a/b && touch /app/a/b/c && chmod 000 /app/a/b/c && chmod 555 /app/a/b /app/a')
  })
  expect((await readdir(home)).filter((name) => !name.startsWith('.place'))).toEqual([other.name])
  expect(await provider.find(other.name)).toMatchObject({ state: 'running' })
  await provider.destroy(other.name)
})

test('what workers left that died while they made or removed a sandbox goes after an hour', async () => {
  const { provider, home } = await freshProvider()
  const leftovers = ['.making-old', '.removing-old', '.making-new'].map((name) => join(home, name))
  for (const path of leftovers) await mkdir(join(path, 'root'), { recursive: true })
  await provider.list({})
  expect(await readdir(home)).toHaveLength(3)
  const twoHoursAgo = new Date(Date.now() - 7_200_000)
  for (const path of leftovers.slice(0, 2)) await utimes(path, twoHoursAgo, twoHoursAgo)
  await provider.list({})
  expect(await readdir(home)).toEqual(['.making-new'])
})

test.each(['../up', '.hidden', 'UPPER', 'a/b', '', 'x'.repeat(64)])('name %j is refused', async (name) => {
  const { provider } = await freshProvider()
  await expect(provider.destroy(name)).rejects.toMatchObject({ code: 'internal' })
  await expect(provider.find(name)).rejects.toMatchObject({ code: 'internal' })
})

test('an order that cannot be honoured is refused before anything is made', async () => {
  const { provider, home } = await freshProvider()
  const request = makeRequest({
    user: 'nobody',
    workdir: '/usr/src',
    mounts: [{ source: '/tmp', target: '/proc/x', readOnly: true }],
    resources: { memoryMiB: 64, gpus: { count: 1 } },
    env: { 'not-a-name': 'x' },
  })
  const fields = (await provider.check(request.spec)).map(({ field }) => field)
  expect(fields).toEqual(['resources.memoryMiB', 'resources.gpus', 'user', 'mounts.0.target', 'workdir', 'env'])
  await expect(provider.createOrAdopt(request)).rejects.toMatchObject({ code: 'runtime-unsupported' })
  expect(await readdir(home).catch(() => [])).toEqual([])
})
