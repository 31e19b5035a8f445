import { stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import type { ComputeNode } from './node.ts'
import { SshKeys } from './ssh-keys.ts'

const mode = async (path: string) => (await stat(path)).mode & 0o777

test('a key is made, found again, and readable by nobody else', async () => {
  const keys = new SshKeys(await temporaryFolder('keys'))
  const made = await keys.generate({ name: 'lab' })
  expect(made).toMatchObject({ type: 'ssh-ed25519', hasPassphrase: false })
  expect(made.publicKey).toMatch(/^ssh-\S+ \S+ rollcall lab$/)
  expect(made.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/)
  expect(await keys.list()).toEqual([made])
  expect(await Promise.all([made.path, `${made.path}.pub`, dirname(made.path)].map(mode))).toEqual([
    0o600, 0o600, 0o700,
  ])
})

test('an RSA key has 4096 bits', async () => {
  const made = await new SshKeys(await temporaryFolder('keys')).generate({ name: 'lab', type: 'rsa' })
  const blob = Buffer.from(made.publicKey.split(' ')[1] ?? '', 'base64')
  // Its modulus is the last field: 4096 bits and a byte for the sign.
  expect(blob.readUInt32BE(blob.length - 513 - 4)).toBe(513)
})

test('a key with a passphrase says so, and is imported only with it', async () => {
  const keys = new SshKeys(await temporaryFolder('keys'))
  const made = await keys.generate({ name: 'locked', passphrase: 'open sesame' })
  expect(made.hasPassphrase).toBe(true)
  await expect(keys.import('again', made.path)).rejects.toThrow(/locked/)
  await expect(keys.import('again', made.path, 'wrong')).rejects.toMatchObject({ code: 'configuration-invalid' })
  expect(await keys.import('again', made.path, 'open sesame')).toMatchObject({
    fingerprint: made.fingerprint,
    hasPassphrase: true,
  })
})

test('what is no private key is not imported, and no key is overwritten', async () => {
  const folder = await temporaryFolder('keys')
  const keys = new SshKeys(folder)
  const made = await keys.generate({ name: 'lab' })
  await writeFile(join(folder, 'nonsense'), 'no key')
  await expect(keys.import('x', join(folder, 'nonsense'))).rejects.toThrow(/nonsense/)
  await expect(keys.import('x', `${made.path}.pub`)).rejects.toThrow(/expected a private key/)
  await expect(keys.import('x', join(folder, 'missing'))).rejects.toThrow(/ENOENT/)
  await expect(keys.generate({ name: 'lab' })).rejects.toThrow(/is there already/)
  await expect(keys.generate({ name: '../lab' })).rejects.toThrow(/Key name is/)
  expect(await keys.list()).toEqual([made])
})

test('a key that a node uses stays', async () => {
  const keys = new SshKeys(await temporaryFolder('keys'))
  const { path } = await keys.generate({ name: 'lab' })
  const user: ComputeNode = { name: 'box', type: 'ssh', settings: { key: path }, added: '' }
  await expect(keys.remove('lab', [user])).rejects.toThrow(/Key lab is used by box/)
  await keys.remove('lab', [{ ...user, settings: {} }])
  expect(await keys.list()).toEqual([])
  await expect(keys.remove('lab', [])).rejects.toThrow(/no such key/)
})
