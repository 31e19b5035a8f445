import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { extract } from 'tar-stream'
import { packContext } from './build-context.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rollcall-context-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

test('a context is its files, folders and links, with the given text as the Dockerfile', async () => {
  await mkdir(join(directory, 'sub'))
  await writeFile(join(directory, 'Dockerfile'), 'FROM a\n')
  await writeFile(join(directory, 'sub/run.sh'), 'true\n', { mode: 0o755 })
  await symlink('../Dockerfile', join(directory, 'sub/link'))
  expect(await entriesOf('FROM b\n')).toEqual([
    { name: 'Dockerfile', type: 'file', mode: 0o644, text: 'FROM b\n' },
    { name: 'sub', type: 'directory', mode: 0o755, text: '' },
    { name: 'sub/link', type: 'symlink', mode: 0o777, text: '' },
    { name: 'sub/run.sh', type: 'file', mode: 0o755, text: 'true\n' },
  ])
})

test('.dockerignore leaves out what it names, and lets exceptions back in', async () => {
  await mkdir(join(directory, 'data'))
  await writeFile(join(directory, '.dockerignore'), '*.log\ndata/*\n!data/keep.txt\n')
  for (const name of ['a.log', 'a.txt', 'data/drop.txt', 'data/keep.txt']) await writeFile(join(directory, name), name)
  const names = (await entriesOf('FROM a\n')).map((entry) => entry.name)
  expect(names).toEqual(['Dockerfile', '.dockerignore', 'a.txt', 'data', 'data/keep.txt'])
})

test('Dockerfile.dockerignore goes before .dockerignore', async () => {
  await writeFile(join(directory, '.dockerignore'), 'a.txt\n')
  await writeFile(join(directory, 'Dockerfile.dockerignore'), 'b.txt\n')
  for (const name of ['a.txt', 'b.txt']) await writeFile(join(directory, name), name)
  const names = (await entriesOf('FROM a\n')).map((entry) => entry.name)
  expect(names).toContain('a.txt')
  expect(names).not.toContain('b.txt')
})

test('a directory that is not there is an error of the stream', async () => {
  const context = packContext({ directory: join(directory, 'no'), dockerfile: '' })
  await expect(context.toArray()).rejects.toThrow(/ENOENT/)
})

async function entriesOf(dockerfile: string) {
  const archive = extract()
  packContext({ directory, dockerfile }).pipe(archive)
  const entries = []
  for await (const entry of archive) {
    const chunks: unknown[] = []
    for await (const chunk of entry) chunks.push(chunk)
    const { name, type, mode } = entry.header
    entries.push({ name: name.replace(/\/$/, ''), type, mode, text: chunks.map(String).join('') })
  }
  return entries
}
