import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Output } from '../../cli/context.ts'
import { runCli } from '../../cli/run-cli.ts'
import { cacheDirectory } from '../../protocol/directories.ts'
import { connectToDocker, dockerConnection } from '../../providers/docker/docker-connection.ts'
import { ensureTestImages } from '../../scripts/test-images.ts'
import { prepareAndTrain } from '../../examples/sandboxes/multi-profile.ts'
import { countInSlots } from '../../examples/sandboxes/single-profile.ts'
import { openHome, type DurabilityHome } from '../../testing/durability-home.ts'
import { Sandboxes } from '../entry-sandboxes.ts'
import type { ProfileDefinition } from './profiles.ts'
import type { ToolRequest } from './run-request.ts'
import type { SandboxesOptions } from './sandboxes.ts'
import type { Slot } from './slot.ts'

const image = { runtime: { image: 'debian:12', network: 'none' } } satisfies ProfileDefinition

let home: DurabilityHome
let imageMap: Readonly<Record<string, string>>
let sandboxes: Sandboxes

const open = (options: Partial<SandboxesOptions>): Promise<Sandboxes> =>
  Sandboxes.start({ environment: home.environment, imageMap, ...options })

beforeAll(async () => {
  home = await openHome()
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
  sandboxes = await open({
    profiles: {
      docker: { ...image, provider: 'docker', slotsPerSandbox: 4, maxSandboxes: 2 },
      local: { provider: 'local', maxSandboxes: 3 },
    },
    start: ['docker', 'local'],
  })
})
afterAll(async () => {
  await sandboxes?.stop({ purge: true })
  await home?.close()
})

let holders = 0
const acquire = (profile: string): Promise<Slot> => sandboxes.acquire(`holder-${(holders += 1)}`, { profile })
const bash = (slot: Slot, command: string, more: Partial<ToolRequest> = {}): ToolRequest => ({
  slot,
  tool: 'bash',
  args: { command },
  ...more,
})
const run = async (slot: Slot, command: string): Promise<string> => {
  const [outcome] = await sandboxes.executeBatch([bash(slot, command)])
  return outcome?.output ?? 'no outcome'
}

test('a batch goes to slots of both providers at the same time, and every request has its outcome', async () => {
  const [one, two, here, gone] = await Promise.all(['docker', 'docker', 'local', 'docker'].map(acquire))
  if (!one || !two || !here || !gone) throw new Error('A slot is missing')
  expect(await sandboxes.release(gone, { resetWorkspace: true })).toBe('released')
  const outcomes = await sandboxes.executeBatch([
    bash(one, 'echo one >>f; id -u'),
    bash(here, 'echo here; exit 3'),
    bash(gone, 'echo never'),
    { slot: two, tool: 'browse' },
    bash(two, 'sleep 60', { timeoutMs: 200 }),
    bash(two, 'echo x', { timeoutMs: 0 }),
    bash(one, 'cat f; printf "\\377\\000"'),
    { slot: two, tool: 'read_file', args: { path: `${one.workspace}/f` } },
    bash(two, `cat ${one.workspace}/f`, { id: 'second' }),
  ])
  expect(outcomes.map(({ slot, outcome }) => [slot.id, outcome])).toEqual([
    [one.id, 'exited'],
    [here.id, 'exited'],
    [gone.id, 'failed'],
    [two.id, 'invalid'],
    [two.id, 'timed-out'],
    [two.id, 'invalid'],
    [one.id, 'exited'],
    [two.id, 'exited'],
    [two.id, 'exited'],
  ])
  expect(outcomes[0]?.output).toBe(`${one.lease.user?.uid}\n`)
  expect(outcomes[1]).toMatchObject({ ok: false, exitCode: 3, output: 'here\n[exit code 3]' })
  expect(outcomes[2]?.failure).toMatchObject({
    code: 'lease-lost',
    message: expect.stringContaining('it was released'),
  })
  expect(outcomes[6]?.stdout?.head).toEqual(Buffer.concat([Buffer.from('one\n'), Buffer.from([0xff, 0])]))
  expect(outcomes[7]?.output).toContain('leads out of the working directory')
  expect(outcomes[8]).toMatchObject({ ok: false, id: 'second', output: expect.stringContaining('Permission denied') })
  expect(await sandboxes.release(gone)).toBe('not-held')
  await Promise.all([one, two, here].map((slot) => sandboxes.release(slot, { resetWorkspace: true })))
})

describe.each(['local', 'docker'])('on %s', (profile) => {
  test('requests of one slot follow each other, unless they say parallel', async () => {
    const slot = await acquire(profile)
    const wait = (own: string, other: string): string =>
      `touch ${own}; for i in $(seq 500); do [ -e ${other} ] && exit; sleep 0.01; done; exit 1`
    const together = await sandboxes.executeBatch([
      bash(slot, wait('a', 'b'), { parallel: true }),
      bash(slot, wait('b', 'a'), { parallel: true }),
    ])
    expect(together.map(({ ok }) => ok)).toEqual([true, true])
    const inTurn = await sandboxes.executeBatch([
      bash(slot, 'sleep 0.2; echo first >>order'),
      bash(slot, 'echo second >>order'),
    ])
    expect(inTurn.every(({ ok }) => ok)).toBe(true)
    expect(await run(slot, 'cat order')).toBe('first\nsecond\n')
    await sandboxes.release(slot, { resetWorkspace: true })
  })

  test('files are written, edited, read and listed; nothing outside the workspace is', async () => {
    const slot = await acquire(profile)
    await run(slot, 'ln -s /etc out; ln -s /etc/passwd passwd')
    const outcomes = await sandboxes.executeBatch([
      { slot, tool: 'write_file', args: { path: 'd/new\nline', content: 'one\n' } },
      { slot, tool: 'edit_file', args: { path: `${slot.workspace}/d/new\nline`, old_string: 'one', new_string: 'é' } },
      { slot, tool: 'read_file', args: { path: 'd/../d/new\nline' } },
      { slot, tool: 'list_files', args: { path: 'd' } },
      ...['out/passwd', 'passwd', '../x', '/etc/passwd'].map((path) => ({ slot, tool: 'read_file', args: { path } })),
      ...['out/made', '../../made'].map((path) => ({ slot, tool: 'write_file', args: { path, content: '' } })),
      { slot, tool: 'list_files', args: { path: 'out' } },
      { slot, tool: 'edit_file', args: { path: 'passwd', old_string: 'root', new_string: 'x' } },
      { slot, tool: 'edit_file', args: { command: 'create', path: 'out/made', content: '' } },
      { slot, tool: 'bash', args: { command: 'true', cwd: '..' } },
    ])
    expect(outcomes.slice(0, 4).map(({ output }) => output)).toEqual([
      'Wrote 4 bytes to d/new\nline',
      `Wrote 3 bytes to ${slot.workspace}/d/new\nline (replace)`,
      'é\n',
      '"new\\nline"',
    ])
    for (const { ok, output } of outcomes.slice(4))
      expect([ok, output]).toEqual([false, expect.stringMatching(/leads out|expected/)])
    await sandboxes.release(slot, { resetWorkspace: true })
  })

  test('artifacts come out as they are: text, bytes, listings and archives', async () => {
    const slot = await acquire(profile)
    const bytes = Buffer.from([0, 255, 10, 128])
    const path = Buffer.from([0x64, 0x2f, 0xff, 0x0a])
    expect(await sandboxes.writeArtifact(slot, { path, content: bytes })).toMatchObject({ ok: true, bytes: 4 })
    expect(await sandboxes.writeArtifact(slot, { path: '../x', content: '' })).toMatchObject({ problem: 'outside' })
    expect(await sandboxes.readArtifact(slot, path)).toMatchObject({ content: bytes, truncated: false })
    const listed = await sandboxes.listArtifacts(slot, '.', { recursive: true })
    expect(listed.ok && listed.entries.map((entry) => [entry.type, entry.sizeBytes, entry.rawPath])).toEqual([
      ['directory', expect.any(Number), undefined],
      ['file', 4, path],
    ])
    for (const format of ['tar', 'tar.gz', 'zip'] as const) {
      expect(await sandboxes.archiveArtifacts(slot, '.', { format })).toMatchObject({
        ok: true,
        entries: 2,
        complete: true,
      })
    }
    expect(await sandboxes.archiveArtifacts(slot, '.', { maxEntries: 1 })).toMatchObject({
      problem: 'too-many-entries',
    })
    await sandboxes.release(slot, { resetWorkspace: true })
  })

  test('who takes an artifact slowly holds up nobody else in the sandbox', async () => {
    const slot = await acquire(profile)
    await run(slot, 'head -c 8000000 /dev/zero >large')
    const to = new PassThrough()
    const reading = sandboxes.readArtifact(slot, 'large', { to })
    expect(await run(slot, 'echo meanwhile')).toBe('meanwhile\n')
    to.resume()
    expect(await reading).toMatchObject({ ok: true, bytes: 8_000_000 })
    await sandboxes.release(slot, { resetWorkspace: true })
  })

  test('the same holder finds its files after a release without a reset; the same id runs once in a lease', async () => {
    const slot = await acquire(profile)
    const effect = bash(slot, 'echo x >>effect; wc -l <effect', { id: 'once' })
    const [first, again] = await Promise.all([sandboxes.executeBatch([effect]), sandboxes.executeBatch([effect])])
    expect([first[0]?.output, again[0]?.output]).toEqual(['1\n', '1\n'])
    // Under its id, something else is never handed what that one came to.
    const [other] = await sandboxes.executeBatch([{ ...effect, tool: 'write_file', args: { path: 'w', content: '' } }])
    expect([other?.outcome, other?.output]).toEqual([
      'invalid',
      expect.stringContaining('"once" is of another request'),
    ])
    expect(await run(slot, 'ls w')).toContain('No such file')
    const [patient] = await sandboxes.executeBatch([bash(slot, 'echo patient', { timeoutMs: 2 ** 40 })])
    expect(patient?.output).toBe('patient\n')
    expect(await sandboxes.release(slot)).toBe('released')
    const back = await sandboxes.acquire(slot.holder, { profile })
    expect([back.hasFiles, back.sandbox, back.id === slot.id]).toEqual([true, slot.sandbox, false])
    expect(await run(back, 'cat effect')).toBe('x\n')
    // An earlier lease's handle reaches nothing any more.
    const stale = await sandboxes.executeBatch([effect])
    expect(stale[0]?.failure?.code).toBe('lease-lost')
    const [inNewLease] = await sandboxes.executeBatch([{ ...effect, slot: back }])
    expect(inNewLease?.output).toBe('2\n')
    await sandboxes.release(back, { resetWorkspace: true })
  })

  test('a client that is killed comes back to its slot, its files and its running command; one that does not loses them', async () => {
    const holder = 'trajectory-1'
    const command = 'echo begun >>log; until [ -e go ]; do sleep 0.02; done; echo done >>log; cat log'
    const client = spawnClient([profile, holder, command, JSON.stringify(imageMap)])
    const { id } = await client.said()
    const back = await open({
      provider: profile,
      profiles: { one: { maxSandboxes: 1 } },
      pool: `dying-${profile}`,
      leaseMs: 2_000,
    })
    try {
      const slot = await back.acquire(holder, { profile: 'one' })
      const begun = `until [ -e log ]; do sleep 0.02; done`
      await back.executeBatch([bash(slot, begun, { parallel: true })])
      client.kill()
      await client.ended
      expect(slot.id).toBe(id)
      const [attached] = await Promise.all([
        back.executeBatch([bash(slot, command, { id: 'long', parallel: true })]),
        back.executeBatch([bash(slot, 'touch go', { parallel: true })]),
      ])
      expect(attached[0]?.output).toBe('begun\ndone\n')
      // Nobody renews any more: somebody else has the slot in the end, and finds nothing in it.
      if (profile === 'local') {
        await back.close()
        const options = { provider: profile, profiles: { one: { maxSandboxes: 1 } }, pool: `dying-${profile}` }
        await using other = await open(options)
        const next = await other.acquire('somebody-else', { profile: 'one', timeoutMs: 60_000 })
        expect(next.id).not.toBe(id)
        expect((await other.executeBatch([bash(next, 'ls -A')]))[0]?.output).toBe('')
        await other.stop({ purge: true })
      } else {
        await back.stop({ purge: true })
      }
    } finally {
      client.kill()
      await back.close()
    }
  })
})

test('a sandbox that is removed fails its requests alone, and its holder gets another slot', async () => {
  const name = 'lost'
  const lost = await open({ profiles: { lost: { ...image, provider: 'docker', maxSandboxes: 2 } }, pool: name })
  try {
    const [one, two] = await Promise.all(['1', '2'].map((holder) => lost.acquire(holder, { profile: name })))
    if (!one || !two) throw new Error('A slot is missing')
    const docker = connectToDocker(dockerConnection(process.env['DOCKER_HOST'])).calls
    await docker.getContainer(one.sandbox).remove({ force: true })
    const outcomes = await lost.executeBatch([bash(one, 'echo 1'), bash(two, 'echo 2')])
    expect(outcomes.map(({ outcome, failure }) => [outcome, failure?.code])).toEqual([
      ['failed', 'sandbox-lost'],
      ['exited', undefined],
    ])
    const other = await lost.acquire('1', { profile: name })
    expect(other.sandbox).not.toBe(one.sandbox)
    expect((await lost.executeBatch([bash(other, 'echo again')]))[0]?.output).toBe('again\n')
  } finally {
    await lost.stop({ purge: true })
  }
})

test('absolute paths are for those who allow them; a profile that is not there is named', async () => {
  const anywhere = await open({
    profiles: { here: { provider: 'local', maxSandboxes: 1 } },
    pool: 'anywhere',
    allowAbsolutePaths: true,
  })
  try {
    const slot = await anywhere.acquire('h')
    const [read] = await anywhere.executeBatch([{ slot, tool: 'read_file', args: { path: '/etc/passwd', limit: 1 } }])
    expect(read?.output).toContain('root')
    expect(await anywhere.readArtifact(slot, '/etc/passwd', { encoding: 'text' })).toMatchObject({ ok: true })
    await expect(anywhere.acquire('i', { timeoutMs: -1 })).rejects.toThrow('timeoutMs is -1')
    await expect(anywhere.acquire('h', { profile: 'gpu' })).rejects.toThrow('no profile "gpu": expected one of here')
    // Whoever still waits when it stops gets no slot that nobody would give back.
    const [waiting] = await Promise.allSettled([
      anywhere.acquire('waits', { timeoutMs: Infinity }),
      anywhere.stop({ purge: true }),
    ])
    expect(waiting).toMatchObject({ status: 'rejected', reason: { code: 'cancelled' } })
    await expect(anywhere.acquire('late')).rejects.toThrow('These sandboxes were stopped')
  } finally {
    await anywhere.close()
  }
})

test('Atropos’ usage: one profile, and several', async () => {
  const options = { environment: home.environment, imageMap }
  const [single, multi] = await Promise.all([
    countInSlots({ ...options, pool: 'single' }),
    prepareAndTrain({ ...options, pool: 'multi' }),
  ])
  expect(single).toEqual(['1', '2', '3'])
  expect(multi).toEqual({
    prepared: '100',
    stage: 'training',
    trained: 'exited',
    sum: '5050',
    model: '1 entry in a zip',
    profiles: 'default large',
  })
})

test('the command line holds a slot from one command to the next', async () => {
  const folder = home.folder
  await writeFile(join(folder, 'profiles.yaml'), 'profiles: { default: { provider: local } }')
  await writeFile(join(folder, 'in.bin'), Buffer.from([0, 255, 10]))
  const acquired = await cli('acquire', 'me', '--profiles', 'profiles.yaml', '--json')
  expect([acquired.code, JSON.parse(acquired.stdout)]).toMatchObject([0, { holder: 'me', profile: 'default' }])
  expect(await cli('put', 'me', 'in.bin', 'd/in.bin')).toMatchObject({ code: 0 })
  expect(await cli('exec', 'me', 'wc -c <d/in.bin; echo e >&2; exit 4')).toMatchObject({ code: 4, stdout: '3\n' })
  expect((await cli('list', 'me', 'd', '--json')).stdout).toContain('"sizeBytes":3')
  expect(await cli('get', 'me', 'd/in.bin', 'out.bin')).toMatchObject({ code: 0 })
  expect(await readFile(join(folder, 'out.bin'))).toEqual(Buffer.from([0, 255, 10]))
  expect(await cli('get', 'me', '../none', 'none')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('leads out'),
  })
  expect(await readdir(folder)).not.toContain('none')
  const nowhere = await cli('get', 'me', 'd/in.bin', 'no/such/folder')
  expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining('cannot be written')])
  expect((await cli('status', '--json')).stdout).toContain('"leased":1')
  expect((await cli('release', 'me', '--reset')).stdout).toBe('me: released\n')
  expect((await cli('release', 'me')).stdout).toBe('me: not-held\n')
  expect(await cli('exec', 'me', 'true')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('sandbox acquire me'),
  })
})

/** In this process: a dozen others would take longer than everything that they do. */
async function cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [captured(), captured()]
  const { environment } = home
  const { stdin } = process
  const signals = { listen: () => () => {} }
  const context = { environment, stdin, stdout: stdout.output, stderr: stderr.output, signals, now: Date.now }
  const code = await runCli(['sandbox', ...args], context)
  return { code, stdout: await stdout.end(), stderr: await stderr.end() }
}

function captured() {
  const stream = new PassThrough()
  const whole = text(stream)
  const output: Output = {
    write: (line) => void stream.write(line),
    stream: stream as unknown as NodeJS.WriteStream,
    isTTY: false,
    color: false,
    size: () => ({ columns: 80, rows: 24 }),
  }
  const end = (): Promise<string> => {
    stream.end()
    return whole
  }
  return { output, end }
}

function spawnClient(args: readonly string[]) {
  const script = join(import.meta.dirname, 'dying-client-fixture.ts')
  const { env } = home.environment
  const child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    said: async (): Promise<{ id: string }> => {
      const line: unknown = JSON.parse((await lines.next()).value ?? 'null')
      if (typeof line === 'object' && line !== null && 'id' in line) return { id: String(line.id) }
      throw new Error('The client has said something else')
    },
    kill: () => void child.kill('SIGKILL'),
    ended: once(child, 'exit'),
  }
}
