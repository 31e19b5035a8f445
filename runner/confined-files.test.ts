import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SandboxPath } from './confined-path.ts'
import { readFile, writeFile } from './files.ts'
import type { Runner } from './runner.ts'
import { openTestSandbox, shells, uniqueScope, type TestSandbox } from './test-sandbox.ts'

const scope = uniqueScope()

describe.each(shells)('below a root, with %s', (shell) => {
  let sandbox: TestSandbox
  let runner: Runner
  let root: string
  let outside: string
  let batch = 0

  beforeEach(async () => {
    sandbox = await openTestSandbox({ shell })
    runner = sandbox.open()
    root = join(sandbox.workdir, 'ro ot')
    outside = join(sandbox.workdir, 'out')
    mkdirSync(root)
    mkdirSync(outside)
    writeFileSync(join(outside, 'secret'), 'secret')
  })
  afterEach(() => sandbox[Symbol.asyncDispose]())

  const id = () => ({ scope, phase: 1, batch: batch++, call: 0, part: 0 })
  const read = (path: SandboxPath) => readFile(runner, { id: id(), path, root, maxBytes: 100 })
  const write = async (path: SandboxPath, text = 'new') =>
    (await writeFile(runner, { id: id(), path, root, content: Buffer.from(text) })).type
  const textOf = async (path: SandboxPath) => {
    const file = await read(path)
    return file.type === 'read' ? file.content.toString() : file.type
  }

  test('files are written and read: relative, absolute, through links that stay inside, whatever their names', async () => {
    mkdirSync(join(root, 'd'))
    symlinkSync('d', join(root, 'to d'))
    symlinkSync(join(root, 'd/new\nline'), join(root, 'link\n'))
    const paths = [
      'a',
      '-dash',
      'd/new\nline',
      'made/for/it',
      './x//y',
      'd/../e',
      join(root, 'abs/f'),
      'to d/f',
      '$(id)',
    ]
    for (const path of paths) {
      expect([path, await write(path, path)]).toEqual([path, 'written'])
      expect(await textOf(path)).toBe(path)
    }
    expect(readFileSync(join(root, 'd/f'), 'utf8')).toBe('to d/f')
    expect(await write('link\n', 'through')).toBe('written')
    expect(readFileSync(join(root, 'd/new\nline'), 'utf8')).toBe('through')
    expect(lstatSync(join(root, 'link\n')).isSymbolicLink()).toBe(true)
    expect(readdirSync(root).filter((name) => name.startsWith('.rollcall'))).toEqual([])
  })

  test('a name that is not UTF-8 is a name', async () => {
    const name = Buffer.from([0x66, 0xff, 0x0a, 0x5c, 0x25])
    expect(await write(Buffer.concat([Buffer.from('deep/'), name]), 'odd')).toBe('written')
    expect(await textOf(Buffer.concat([Buffer.from(`${root}/deep/`), name]))).toBe('odd')
    expect(readdirSync(join(root, 'deep'), { encoding: 'buffer' })).toEqual([name])
  })

  test.each([
    ['above it', '../out/secret'],
    ['by a detour', 'sub/../../out/secret'],
    ['absolute', '/tmp/rollcall-nobodys-file'],
    ['a link to a file', 'file-link'],
    ['a link to a directory', 'dir-link/secret'],
    ['a chain of links', 'chain/secret'],
    ['a relative link', 'up/out/secret'],
    ['of another process', 'proc/root/tmp/rollcall-nobodys-file'],
  ])('%s: nothing outside is read, written or made', async (_what, path) => {
    mkdirSync(join(root, 'sub'))
    symlinkSync(join(outside, 'secret'), join(root, 'file-link'))
    symlinkSync(outside, join(root, 'dir-link'))
    symlinkSync('dir-link', join(root, 'chain'))
    symlinkSync('..', join(root, 'up'))
    symlinkSync('/proc/self', join(root, 'proc'))
    expect((await read(path)).type).toBe('outside')
    expect(await write(path)).toBe('outside')
    expect(await write(`${path}/made/here`)).not.toBe('written')
    expect(await write(path.replace('secret', 'made/here'))).not.toBe('written')
    expect(readdirSync(outside)).toEqual(['secret'])
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret')
  })

  test('a sibling whose name begins alike is outside', async () => {
    mkdirSync(`${root}-2`)
    writeFileSync(`${root}-2/f`, 'other')
    expect(await textOf(`${root}-2/f`)).toBe('outside')
    expect(await textOf('../ro ot-2/f')).toBe('outside')
  })

  test('a file with another name outside is not read; writing gives the name inside a file of its own', async () => {
    linkSync(join(outside, 'secret'), join(root, 'hard'))
    expect(await textOf('hard')).toBe('outside')
    expect(await write('hard', 'mine')).toBe('written')
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret')
    expect(await textOf('hard')).toBe('mine')
  })

  test('a file with several names inside is read', async () => {
    mkdirSync(join(root, 'd'))
    writeFileSync(join(root, 'one'), 'same')
    linkSync(join(root, 'one'), join(root, 'd/two\nx'))
    expect(await textOf('one')).toBe('same')
  })

  test('a link without an end is not found; a directory, a FIFO and a missing file are told apart', async () => {
    symlinkSync('b', join(root, 'a'))
    symlinkSync('a', join(root, 'b'))
    execFileSync('mkfifo', [join(root, 'fifo')])
    const reasons = []
    for (const path of ['a', '.', '', 'fifo', 'none', 'none/f', 'fifo/f']) reasons.push(await textOf(path))
    expect(reasons).toEqual([
      'not-found',
      'is-a-directory',
      'is-a-directory',
      'not-a-file',
      'not-found',
      'not-found',
      'not-found',
    ])
    expect(await write('fifo')).toBe('not-a-file')
    expect(await write('.')).toBe('is-a-directory')
  })

  test('mode is kept; a root that has become a link is refused', async () => {
    writeFileSync(join(root, 'tool'), 'old')
    chmodSync(join(root, 'tool'), 0o751)
    expect(await write('tool')).toBe('written')
    expect(statSync(join(root, 'tool')).mode & 0o777).toBe(0o751)
    renameSync(root, `${root}-moved`)
    expect(await textOf('tool')).toBe('root-missing')
    symlinkSync(outside, root)
    expect(await textOf('secret')).toBe('root-missing')
    expect(await write('made')).toBe('root-missing')
    expect(existsSync(join(outside, 'made'))).toBe(false)
  })

  test('somebody who turns a directory into a link and back all the time leads nothing out', async () => {
    mkdirSync(join(root, 'd'))
    writeFileSync(join(root, 'd/secret'), 'inside')
    const turning = runner.exec({
      id: id(),
      script: `cd "$RC_ROOT" || exit
until [ -e stop ]; do mv d e; ln -s "$RC_OUT" d; rm d; mv e d; done`,
      env: { RC_ROOT: root, RC_OUT: outside },
      timeoutMs: 60_000,
    })
    const seen = new Set<string>()
    for (let round = 0; round < 25; round += 1) {
      seen.add(await textOf('d/secret'))
      seen.add(await write('d/made', 'x'))
    }
    writeFileSync(join(root, 'stop'), '')
    await turning
    expect(seen).not.toContain('secret')
    expect(readdirSync(outside)).toEqual(['secret'])
    rmSync(join(root, 'stop'))
  })
})
