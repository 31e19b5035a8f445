import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { extract, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import type { ExecId } from '../protocol/exec.ts'
import { downloadTree, readFile, uploadFile, uploadTree, writeFile } from './files.ts'
import { openTestSandbox, shells, uniqueScope } from './test-sandbox.ts'

const scope = uniqueScope()
const isRoot = process.getuid?.() === 0
const id = (call: number): ExecId => ({ scope, phase: 0, batch: 0, call, part: 0 })
const oddNames = ['with space', "quote'd", 'new\nline', 'Áß€', '-rf', '$(touch pwned)', ' end\n']

const treeOf = async (files: Readonly<Record<string, { content: string; mode: number }>>): Promise<Buffer> => {
  const tar = pack()
  for (const [name, { content, mode }] of Object.entries(files)) tar.entry({ name, mode, uid: 1234 }, content)
  tar.finalize()
  return buffer(tar)
}

describe.each(shells)('%s', (shell) => {
  test('a tree is put over what is there, with its modes, and once per id', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const directory = join(sandbox.workdir, "a/-b 'c'")
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'stays'), 'old')
    writeFileSync(join(directory, 'run.sh'), 'old')
    const tar = await treeOf({
      'run.sh': { content: 'new', mode: 0o755 },
      'sub/secret': { content: 's', mode: 0o600 },
    })
    await uploadTree(runner, { id: id(0), tar, directory })
    await uploadTree(runner, { id: id(0), tar: await treeOf({}), directory })
    const read = (name: string): string => readFileSync(join(directory, name), 'utf8')
    expect([read('stays'), read('run.sh'), read('sub/secret')]).toEqual(['old', 'new', 's'])
    expect(statSync(join(directory, 'run.sh')).mode & 0o777).toBe(0o755)
    expect(statSync(join(directory, 'sub/secret')).mode & 0o777).toBe(0o600)
    expect(statSync(join(directory, 'sub/secret')).uid).toBe(process.getuid?.())
    expect(readdirSync(directory).toSorted()).toEqual(['run.sh', 'stays', 'sub'])
  })

  test.skipIf(!isRoot)('a tree can belong to a user', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const tar = await treeOf({ f: { content: 'x', mode: 0o640 } })
    await uploadTree(sandbox.open(), { id: id(0), tar, directory: join(sandbox.workdir, 'd'), user: 'nobody' })
    expect(statSync(join(sandbox.workdir, 'd/f'))).toMatchObject({ uid: 65534, gid: 65534 })
  })

  test('a tree that cannot be unpacked is a lost sandbox, with the reason', async () => {
    await using sandbox = await openTestSandbox({ shell })
    writeFileSync(join(sandbox.workdir, 'file'), '')
    const upload = { id: id(0), tar: await treeOf({}), directory: join(sandbox.workdir, 'file/d') }
    await expect(uploadTree(sandbox.open(), upload)).rejects.toMatchObject({
      code: 'sandbox-lost',
      message: expect.stringContaining('file/d'),
    })
  })

  test('a directory comes back as a tar', async () => {
    await using sandbox = await openTestSandbox({ shell })
    mkdirSync(join(sandbox.workdir, 'out'))
    writeFileSync(join(sandbox.workdir, 'out/data'), Buffer.alloc(300_000, 'd'))
    symlinkSync('/etc/passwd', join(sandbox.workdir, 'out/link'))
    const sink = new PassThrough()
    const tar = buffer(sink)
    await downloadTree(sandbox.open(), { id: id(0), directory: join(sandbox.workdir, 'out'), sink })
    const entries: Record<string, string> = {}
    const parser = extract()
    parser.end(await tar)
    for await (const entry of parser) {
      entries[entry.header.name] = `${entry.header.type} ${entry.header.size}`
      entry.resume()
    }
    expect(entries).toMatchObject({ './data': 'file 300000', './link': 'symlink 0' })
  })

  test('a tar that is too large is cut, though the directory is sparse', async () => {
    await using sandbox = await openTestSandbox({ shell })
    mkdirSync(join(sandbox.workdir, 'out'))
    writeFileSync(join(sandbox.workdir, 'out/sparse'), '')
    truncateSync(join(sandbox.workdir, 'out/sparse'), 2 ** 40)
    const sink = new PassThrough()
    const tar = buffer(sink)
    const download = { id: id(0), directory: join(sandbox.workdir, 'out'), sink, maxBytes: 1024 ** 2 }
    await expect(downloadTree(sandbox.open(), download)).rejects.toMatchObject({ code: 'sandbox-lost' })
    expect((await tar).length).toBe(1024 ** 2)
  })

  test('a file is written whole, whatever its name, with its parents', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const content = Buffer.from([0, 255, 10, 13, 39])
    for (const [call, name] of oddNames.entries()) {
      const path = join('deep', name, name)
      expect((await writeFile(runner, { id: id(2 * call), path, content })).type).toBe('written')
      expect(readFileSync(join(sandbox.workdir, path))).toEqual(content)
      const read = await readFile(runner, { id: id(2 * call + 1), path, maxBytes: 100 })
      expect(read).toMatchObject({ type: 'read', content, truncated: false })
    }
    expect(readdirSync(join(sandbox.workdir, 'deep')).toSorted()).toEqual(oddNames.toSorted())
  })

  test('writing keeps the mode of a file, follows a link and leaves the link', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const path = (name: string): string => join(sandbox.workdir, name)
    writeFileSync(path('tool'), 'old')
    chmodSync(path('tool'), 0o751)
    symlinkSync('tool', path('link'))
    expect((await writeFile(runner, { id: id(0), path: 'link', content: Buffer.from('new') })).type).toBe('written')
    expect(readFileSync(path('tool'), 'utf8')).toBe('new')
    expect(statSync(path('tool')).mode & 0o777).toBe(0o751)
    expect(lstatSync(path('link')).isSymbolicLink()).toBe(true)
    await uploadFile(runner, { id: id(1), path: path('x/y'), content: Buffer.from('up'), mode: '4750' })
    expect(statSync(path('x/y')).mode & 0o7777).toBe(0o4750)
  })

  test('what stands in the way of a file is told apart', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    symlinkSync('/etc/passwd', join(sandbox.workdir, 'link'))
    const read = async (call: number, path: string, more = {}) =>
      (await readFile(runner, { id: id(call), path, maxBytes: 10, ...more })).type
    expect(await read(0, 'nothing')).toBe('not-found')
    expect(await read(1, '.')).toBe('is-a-directory')
    expect(await read(2, '/dev/null')).toBe('not-a-file')
    expect(await read(3, 'link', { followLinks: false })).toBe('not-a-file')
    expect(await read(4, 'link')).toBe('read')
    const written = await writeFile(runner, { id: id(5), path: '/', content: Buffer.from('x') })
    expect(written.type).toBe('is-a-directory')
    const big = await readFile(runner, { id: id(6), path: '/etc/passwd', maxBytes: 4 })
    expect(big).toMatchObject({ type: 'read', truncated: true, content: Buffer.from('root') })
  })

  test.skipIf(!isRoot)('what a user may not touch is permission-denied', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const secret = join(sandbox.workdir, 'secret')
    mkdirSync(secret, { mode: 0o700 })
    writeFileSync(join(secret, 'f'), 'x', { mode: 0o600 })
    writeFileSync(join(sandbox.workdir, 'f'), 'x', { mode: 0o600 })
    const read = async (call: number, path: string) =>
      (await readFile(runner, { id: id(call), path, maxBytes: 10, user: 'nobody' })).type
    expect(await read(0, join(sandbox.workdir, 'f'))).toBe('permission-denied')
    expect(await read(1, join(secret, 'f'))).toBe('permission-denied')
    const file = { id: id(2), path: join(secret, 'new/f'), content: Buffer.from('x'), user: 'nobody' }
    expect((await writeFile(runner, file)).type).toBe('permission-denied')
  })
})
