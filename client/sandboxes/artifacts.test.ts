import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gunzipSync, inflateRawSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestSandbox, shells, uniqueScope, type TestSandbox } from '../../runner/test-sandbox.ts'
import { archiveArtifacts, type ArchiveArtifactsOptions } from './archive-artifacts.ts'
import { listArtifacts } from './list-artifacts.ts'
import { readArtifact } from './read-artifact.ts'
import type { SlotPlace } from './slot-place.ts'

const scope = uniqueScope()
const odd = ['new\nline', '-dash', '--help', 'back\\slash', 'ünï€🙂', 'with space', '..hidden', '$(id)', "it's"]
const notUtf8 = Buffer.from([0x66, 0xff, 0x80])
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

describe.each(shells)('artifacts, with %s', (shell) => {
  let sandbox: TestSandbox
  let workspace: string
  let place: SlotPlace
  let batch = 0

  beforeEach(async () => {
    sandbox = await openTestSandbox({ shell })
    workspace = join(sandbox.workdir, 'workspace')
    mkdirSync(workspace)
    const runner = sandbox.open()
    const root = workspace
    const next = (part: number) => ({ scope, phase: 1, batch: batch++, call: 0, part })
    place = { runner, workspace, root, execId: next }
  })
  afterEach(() => sandbox[Symbol.asyncDispose]())

  const path = (name: string): string => join(workspace, name)

  test('a file is read as text or bytes, with the sum of exactly what is handed back', async () => {
    const content = randomBytes(100_000)
    writeFileSync(path('f'), content)
    expect(await readArtifact(place, 'f')).toEqual({
      ok: true,
      content,
      bytes: 100_000,
      truncated: false,
      sha256: sha256(content),
    })
    const cut = await readArtifact(place, path('f'), { maxBytes: 99_999 })
    expect(cut).toMatchObject({ bytes: 99_999, truncated: true, sha256: sha256(content.subarray(0, 99_999)) })
    expect(await readArtifact(place, 'f', { maxBytes: 0 })).toMatchObject({ bytes: 0, truncated: true })
    writeFileSync(path('text'), 'aé')
    expect(await readArtifact(place, 'text', { encoding: 'text', maxBytes: 2 })).toMatchObject({
      content: 'a',
      bytes: 2,
    })
    expect(await readArtifact(place, 'text', { encoding: 'text', maxBytes: 3 })).toMatchObject({
      content: 'aé',
      truncated: false,
    })
    await expect(readArtifact(place, 'f', { maxBytes: -3 })).rejects.toThrow('maxBytes is -3')
  })

  test('what cannot be read says why, and an empty file is an empty file', async () => {
    mkdirSync(path('d'))
    symlinkSync('/etc/passwd', path('link'))
    writeFileSync(path('empty'), '')
    const problems = []
    for (const name of ['none', 'd', 'link', '../x', '/etc/passwd']) {
      const read = await readArtifact(place, name)
      problems.push(read.ok ? 'ok' : read.problem)
    }
    expect(problems).toEqual(['not-found', 'is-a-directory', 'outside', 'outside', 'outside'])
    expect(await readArtifact(place, 'empty')).toMatchObject({ ok: true, bytes: 0, sha256: sha256(Buffer.alloc(0)) })
    const anywhere = { ...place, root: '/' }
    expect(await readArtifact(anywhere, '/etc/passwd', { maxBytes: 4, encoding: 'text' })).toMatchObject({
      content: 'root',
    })
    expect(await readArtifact(anywhere, 'empty')).toMatchObject({ ok: true })
  })

  test('a large file goes to a sink, which waits for nobody and holds nothing back', async () => {
    const content = randomBytes(12 * 1024 * 1024)
    writeFileSync(path('large'), content)
    const to = new PassThrough({ highWaterMark: 4_096 })
    const taken = buffer(to)
    const read = await readArtifact(place, 'large', { to })
    expect(read).toMatchObject({ ok: true, bytes: content.length, truncated: false, sha256: sha256(content) })
    expect((await taken).equals(content)).toBe(true)
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) })
    await expect(readArtifact(place, 'large', { to: broken })).rejects.toThrow()
    expect(await readArtifact(place, 'large', { maxBytes: 1 })).toMatchObject({ ok: true })
  })

  test('a reader that goes away, or is gone already, ends the reading', async () => {
    writeFileSync(path('large'), Buffer.alloc(8 * 1024 * 1024))
    const leaving = new PassThrough({ highWaterMark: 4_096 })
    leaving.once('data', () => leaving.destroy())
    await expect(readArtifact(place, 'large', { to: leaving })).rejects.toThrow('Premature close')
    await expect(readArtifact(place, 'large', { to: leaving })).rejects.toThrow('`to` is closed')
    await expect(archiveArtifacts(place, 'large', { to: leaving })).rejects.toThrow()
    expect(await readArtifact(place, 'large', { maxBytes: 1 })).toMatchObject({ ok: true })
  })

  test('every name of a file in a zip counts for maxBytes, and may be of any size', async () => {
    mkdirSync(path('d'))
    writeFileSync(path('d/one'), Buffer.alloc(17 * 1024 * 1024))
    linkSync(path('d/one'), path('d/two'))
    const whole = await archiveArtifacts(place, 'd', { format: 'zip', maxBytes: 36 * 1024 * 1024 })
    expect(whole).toMatchObject({ ok: true, entries: 2, complete: true })
    if (!whole.ok || whole.content === undefined) throw new Error('No archive')
    writeFileSync(path('whole.zip'), whole.content)
    const sizes = execFileSync('python3', [
      '-c',
      'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), [len(z.read(n)) for n in z.namelist()])',
      path('whole.zip'),
    ])
    expect(sizes.toString()).toBe('None [17825792, 17825792]\n')
    const little = await archiveArtifacts(place, 'd', { format: 'zip', maxBytes: 30 * 1024 * 1024 })
    expect(little).toMatchObject({ ok: false, problem: 'too-large' })
  })

  function oddTree(): void {
    mkdirSync(path('d/empty'), { recursive: true })
    for (const name of odd) writeFileSync(path(`d/${name}`), `of ${name}`)
    writeFileSync(Buffer.concat([Buffer.from(`${path('d')}/`), notUtf8]), 'bytes')
    writeFileSync(path(`d/${'long'.repeat(50)}`), 'long')
    symlinkSync('nowhere\n', path('d/link'))
    linkSync(path('d/-dash'), path('d/second'))
    writeFileSync(path('d/tool'), 'x'.repeat(70_000))
    chmodSync(path('d/tool'), 0o751)
    utimesSync(path('d/tool'), 1_700_000_000, 1_700_000_000)
  }

  test('a listing has every name, type, size, mode and time', async () => {
    oddTree()
    const listed = await listArtifacts(place, 'd')
    if (!listed.ok) throw new Error(listed.message)
    expect(listed).toMatchObject({ truncated: false, complete: true })
    const names = listed.entries.map(({ path: name }) => name)
    expect(names).toEqual(expect.arrayContaining([...odd, 'empty', 'link', 'second', 'tool', 'long'.repeat(50)]))
    expect(names.length).toBe(odd.length + 6)
    const entry = (name: string) => listed.entries.find((one) => one.path === name)
    expect(entry('tool')).toMatchObject({ type: 'file', sizeBytes: 70_000, mode: 0o751, modifiedMs: 1.7e12 })
    expect(entry('empty')).toMatchObject({ type: 'directory' })
    expect(entry('link')).toMatchObject({ type: 'link' })
    expect(entry('f\ufffd\ufffd')?.rawPath).toEqual(notUtf8)
    const raw = Buffer.concat([Buffer.from('d/'), notUtf8])
    expect(await readArtifact(place, raw, { encoding: 'text' })).toMatchObject({ content: 'bytes' })
  })

  test('a listing is deep when asked, cut when too long, and says what is no directory', async () => {
    mkdirSync(path('a/b/c'), { recursive: true })
    for (let number = 0; number < 40; number += 1) writeFileSync(path(`a/b/${number}`), '')
    const flat = await listArtifacts(place)
    expect(flat.ok && flat.entries.map(({ path: name }) => name)).toEqual(['a'])
    const deep = await listArtifacts(place, '.', { recursive: true })
    expect(deep.ok && deep.entries.length).toBe(43)
    const exact = await listArtifacts(place, 'a/b', { maxEntries: 41 })
    expect(exact).toMatchObject({ ok: true, truncated: false })
    const cut = await listArtifacts(place, 'a/b', { maxEntries: 40 })
    expect(cut.ok && [cut.entries.length, cut.truncated]).toEqual([40, true])
    expect(await listArtifacts(place, 'a/b/1')).toMatchObject({ ok: false, problem: 'not-found' })
    expect(await listArtifacts(place, 'none')).toMatchObject({ ok: false, problem: 'not-found' })
    expect(await listArtifacts(place, '..')).toMatchObject({ ok: false, problem: 'outside' })
    await expect(listArtifacts(place, '.', { maxEntries: 0 })).rejects.toThrow('maxEntries')
  })

  async function archive(directory: string, options: ArchiveArtifactsOptions) {
    const made = await archiveArtifacts(place, directory, options)
    if (!made.ok) throw new Error(made.message)
    if (made.content === undefined) throw new Error('The archive has no content')
    expect(made.sha256).toBe(sha256(made.content))
    return { ...made, content: made.content }
  }

  test.each(['tar', 'tar.gz'] as const)('%s holds every name, type, mode and content', async (format) => {
    oddTree()
    const { content, entries, complete } = await archive('d', { format })
    const tree = await readTar(format === 'tar' ? content : gunzipSync(content))
    expect([entries, complete]).toEqual([odd.length + 6, true])
    for (const name of odd) {
      const isSecond = tree.get(latin1(name))?.startsWith('link')
      if (!isSecond) expect([name, tree.get(latin1(name))]).toEqual([name, `file of ${name}`])
    }
    expect(tree.get(notUtf8.toString('latin1'))).toBe('file bytes')
    expect(tree.get('long'.repeat(50))).toBe('file long')
    expect(tree.get('link')).toBe('symlink nowhere\n')
    expect(tree.get('empty/')).toBe('directory ')
  })

  test('zip holds every name, type, mode and content; a second name has the content, too', async () => {
    oddTree()
    const { content, entries } = await archive('d', { format: 'zip' })
    const tree = readZip(content)
    expect(entries).toBe(odd.length + 6)
    for (const name of odd) expect([name, tree.get(latin1(name))?.text]).toEqual([name, `of ${name}`])
    expect(tree.get('second')?.text).toBe('of -dash')
    expect(tree.get(notUtf8.toString('latin1'))?.text).toBe('bytes')
    expect(tree.get('link')).toEqual({ mode: 0o120777, text: 'nowhere\n' })
    expect(tree.get('empty/')?.mode).toBe(0o040755)
    expect(tree.get('tool')).toEqual({ mode: 0o100751, text: 'x'.repeat(70_000) })
  })

  test('second names of a file are no standstill, however much comes after them', async () => {
    mkdirSync(path('d'))
    const content = randomBytes(1_000_000)
    writeFileSync(path('d/a'), 'same')
    linkSync(path('d/a'), path('d/b'))
    for (const name of ['c', 'd', 'e', 'f']) writeFileSync(path(`d/${name}`), content)
    const tree = readZip((await archive('d', { format: 'zip' })).content)
    expect([tree.get('a')?.text, tree.get('b')?.text, tree.size]).toEqual(['same', 'same', 6])
  })

  test('one file is an archive of one entry', async () => {
    writeFileSync(path('-f'), 'content')
    const { content, entries } = await archive('-f', { format: 'tar' })
    expect([entries, [...(await readTar(content))]]).toEqual([1, [['-f', 'file content']]])
  })

  test.each(['tar', 'tar.gz', 'zip'] as const)(
    '%s keeps its bounds, and a sparse file does not get round them',
    async (format) => {
      mkdirSync(path('d'))
      for (const name of ['a', 'b', 'c']) writeFileSync(path(`d/${name}`), name)
      expect(await archiveArtifacts(place, 'd', { format, maxEntries: 3 })).toMatchObject({ ok: true, entries: 3 })
      expect(await archiveArtifacts(place, 'd', { format, maxEntries: 2 })).toMatchObject({
        ok: false,
        problem: 'too-many-entries',
      })
      writeFileSync(path('d/sparse'), '')
      truncateSync(path('d/sparse'), 2 ** 40)
      expect(await archiveArtifacts(place, 'd', { format, maxBytes: 1024 * 1024 })).toMatchObject({
        ok: false,
        problem: 'too-large',
      })
    },
  )

  test('a bound of exactly the archive’s size holds it', async () => {
    writeFileSync(path('f'), 'x'.repeat(5_000))
    const { bytes } = await archive('.', { format: 'tar' })
    expect(await archiveArtifacts(place, '.', { format: 'tar', maxBytes: bytes })).toMatchObject({ ok: true })
    expect(await archiveArtifacts(place, '.', { format: 'tar', maxBytes: bytes - 1 })).toMatchObject({ ok: false })
  })

  test('a large tree goes to a sink; one that fails fails the archive, not the sandbox', async () => {
    mkdirSync(path('d'))
    const content = randomBytes(6_000_000)
    for (const name of ['one', 'two']) writeFileSync(path(`d/${name}`), content)
    const to = new PassThrough({ highWaterMark: 1_000 })
    const taken = buffer(to)
    const made = await archiveArtifacts(place, 'd', { format: 'zip', to })
    expect(made).toMatchObject({ ok: true, entries: 2 })
    expect(made.ok && made.content).toBeUndefined()
    const bytes = await taken
    expect(made.ok && made.sha256).toBe(sha256(bytes))
    expect(readZip(bytes).size).toBe(2)
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) })
    await expect(archiveArtifacts(place, 'd', { format: 'zip', to: broken })).rejects.toThrow('disk full')
    expect(await archiveArtifacts(place, 'd', { format: 'zip' })).toMatchObject({ ok: true })
  })

  test('what is missing, outside or shared with the outside is no archive', async () => {
    mkdirSync(path('d'))
    const problem = async (name: string) => {
      const made = await archiveArtifacts(place, name)
      return made.ok ? 'ok' : made.problem
    }
    execFileSync('mkfifo', [path('fifo')])
    expect([await problem('none'), await problem('..'), await problem('/etc'), await problem('fifo')]).toEqual([
      'not-found',
      'outside',
      'outside',
      'not-a-file',
    ])
    writeFileSync(join(sandbox.workdir, 'secret'), 'secret')
    linkSync(join(sandbox.workdir, 'secret'), path('d/hard'))
    expect(await problem('d')).toBe('outside')
    expect(await problem('d/hard')).toBe('outside')
  })
})

const latin1 = (name: string): string => Buffer.from(name).toString('latin1')

/** Names as latin1, with the root's own left out. */
async function readTar(tar: Buffer): Promise<Map<string, string>> {
  const names: object = { filenameEncoding: 'latin1' }
  const archive = extract(names)
  archive.end(tar)
  const tree = new Map<string, string>()
  for await (const entry of archive) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
    const { name, type, linkname } = entry.header
    const text = type === 'file' ? Buffer.concat(chunks).toString() : (linkname ?? '')
    if (name !== './') tree.set(name.replace(/^\.\//, ''), `${type} ${text}`)
  }
  return tree
}

function readZip(zip: Buffer): Map<string, { mode: number; text: string }> {
  const tree = new Map<string, { mode: number; text: string }>()
  const end = zip.length - 22
  let at = zip.readUInt32LE(end + 16)
  for (let count = zip.readUInt16LE(end + 10); count > 0; count -= 1) {
    const nameBytes = zip.readUInt16LE(at + 28)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const packed = zip.subarray(start, start + zip.readUInt32LE(at + 20))
    const text = (zip.readUInt16LE(at + 10) === 0 ? packed : inflateRawSync(packed)).toString()
    tree.set(zip.toString('latin1', at + 46, at + 46 + nameBytes), { mode: zip.readUInt32LE(at + 38) >>> 16, text })
    at += 46 + nameBytes + zip.readUInt16LE(at + 30)
  }
  return tree
}
