import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { SshConnections } from './ssh-connections.ts'
import { startSshd } from './sshd-fixture.ts'
import type { Sshd } from './sshd-fixture.ts'
import type { SshTarget } from './ssh-target.ts'

let sshd: Sshd

beforeAll(async () => {
  // Of four that begin at once, sshd drops some by chance, and of more than eight all.
  sshd = await startSshd(await temporaryFolder('ssh'), ['MaxStartups 2:60:8'])
})

afterAll(() => sshd.stop())

/** What a command says. */
async function say(connections: SshConnections, command: string): Promise<string> {
  const stream = await connections.exec(command)
  return Buffer.concat(await stream.toArray()).toString()
}

async function using<Result>(
  change: Partial<SshTarget>,
  use: (connections: SshConnections) => Promise<Result>,
  idleMs?: number,
): Promise<Result> {
  const connections = new SshConnections({ ...sshd.target, ...change }, idleMs)
  try {
    return await use(connections)
  } finally {
    await connections.close()
  }
}

const code = (failure: string) => expect.objectContaining({ code: failure })

test('more sessions than a connection may have are spread over several', async () => {
  await using({}, async (connections) => {
    const streams = await Promise.all(Array.from({ length: 20 }, () => connections.exec('cat')))
    expect(await Promise.all(['a', 'b'].map((word) => say(connections, `echo ${word}`)))).toEqual(['a\n', 'b\n'])
    expect((await sshd.sessions()).length).toBeGreaterThanOrEqual(4)
    for (const [index, stream] of streams.entries()) stream.end(`${index}`)
    const said = await Promise.all(streams.map(async (stream) => Buffer.concat(await stream.toArray()).toString()))
    expect(said).toEqual(streams.map((_stream, index) => `${index}`))
  })
})

test('connections that the server drops because too many begin are tried again', async () => {
  const ten = Array.from({ length: 5 }, (_none, index) => using({}, (connections) => say(connections, `echo ${index}`)))
  expect(await Promise.all(ten)).toEqual(['0\n', '1\n', '2\n', '3\n', '4\n'])
})

test('a connection that nobody uses is closed, one in use is not', async () => {
  await using(
    {},
    async (connections) => {
      const stream = await connections.exec('cat')
      expect(await say(connections, 'echo once')).toBe('once\n')
      const [session] = await sshd.sessions()
      stream.end('still here')
      expect(Buffer.concat(await stream.toArray()).toString()).toBe('still here')
      await expect.poll(() => sshd.sessions()).not.toContain(session)
      expect(await say(connections, 'echo again')).toBe('again\n')
    },
    1,
  )
})

test('a connection that was cut is replaced', async () => {
  await using({}, async (connections) => {
    const stream = await connections.exec('echo begun; exec sleep 60')
    await new Promise((resolve) => stream.once('data', resolve))
    for (const pid of await sshd.sessions()) process.kill(pid, 'SIGKILL')
    await stream.toArray()
    expect(stream.exitCode).toBeUndefined()
    expect(await say(connections, 'echo again')).toBe('again\n')
  })
})

test.each<[string, (target: SshTarget) => Partial<SshTarget>, string, RegExp]>([
  ['nobody listens', () => ({ port: 1 }), 'provider-unavailable', /ECONNREFUSED.*Check the port/],
  ['there is no such host', () => ({ host: 'no-such-host.invalid' }), 'provider-unavailable', /no-such-host/],
  ['the key is not known there', () => ({ user: 'nobody' }), 'provider-auth', /nobody@.*Check user and key/],
  [
    'the key is none',
    () => ({ credential: { type: 'key', privateKey: 'no key' } }),
    'provider-auth',
    /Cannot parse privateKey/,
  ],
  [
    'the agent is not there',
    () => ({ credential: { type: 'agent', socket: '/nonexistent' } }),
    'provider-auth',
    /Check SSH_AUTH_SOCK/,
  ],
  [
    'another host key was pinned',
    () => ({ hostKey: { type: 'fingerprint', fingerprint: `SHA256:${'A'.repeat(43)}` } }),
    'provider-auth',
    /has changed: expected SHA256:A+, got SHA256:/,
  ],
])('a clear error where %s', async (_what, change, failure, message) => {
  await using(change(sshd.target), async (connections) => {
    await expect(connections.exec('true')).rejects.toEqual(code(failure))
    await expect(connections.exec('true')).rejects.toThrow(message)
  })
})

test('a host that nobody knows is met only with consent, and then known', async () => {
  const folder = await temporaryFolder('known')
  const files = [join(folder, 'users'), join(folder, 'state', 'known_hosts')]
  const policy = (acceptNew: boolean) => ({ hostKey: { type: 'known-hosts', files, acceptNew } }) as const
  const greet = (acceptNew: boolean) => using(policy(acceptNew), (connections) => say(connections, 'echo hello'))
  await expect(greet(false)).rejects.toThrow(
    new RegExp(`${sshd.fingerprint.replaceAll(/[+/]/g, '\\$&')} is not known.*accept-new=true`),
  )
  expect(await greet(true)).toBe('hello\n')
  expect(await greet(false)).toBe('hello\n')
  const stranger = await readFile(join(sshd.folder, 'user_key.pub'), 'utf8')
  await writeFile(files[1] ?? '', `[127.0.0.1]:${sshd.target.port} ${stranger}`)
  await expect(greet(true)).rejects.toThrow(/has changed/)
})

test('a key with a passphrase, and one whose passphrase is wrong', async () => {
  const { execa } = await import('execa')
  const path = join(sshd.folder, 'locked_key')
  await writeFile(path, await readFile(join(sshd.folder, 'user_key')), { mode: 0o600 })
  await execa('ssh-keygen', ['-p', '-P', '', '-N', 'open sesame', '-f', path])
  const privateKey = await readFile(path, 'utf8')
  const withPassphrase = (passphrase: string) =>
    using({ credential: { type: 'key', privateKey, passphrase } }, (connections) => say(connections, 'echo in'))
  expect(await withPassphrase('open sesame')).toBe('in\n')
  await expect(withPassphrase('wrong')).rejects.toEqual(code('provider-auth'))
})

test('what is sent to a command that does not read it, or has ended, holds nobody up', async () => {
  await using({}, async (connections) => {
    const much = Buffer.alloc(8 * 1024 * 1024)
    for (const command of ['true', 'exec sleep 0', 'exec >&- <&-; sleep 0.1']) {
      const stream = await connections.exec(command)
      await Promise.all([stream.toArray(), new Promise((resolve) => stream.end(much, () => resolve(undefined)))])
      await new Promise((resolve) => stream.write(much, () => resolve(undefined)))
    }
    expect(await say(connections, 'echo again')).toBe('again\n')
  })
})
