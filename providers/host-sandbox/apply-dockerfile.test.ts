import { lstat, mkdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { applyDockerfile } from './apply-dockerfile.ts'
import { readBuildContext } from './build-context.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

async function makeContext(dockerfile: string, files: Record<string, string>): Promise<string> {
  const directory = await temporaryFolder('context')
  for (const [path, text] of Object.entries({ Dockerfile: dockerfile, ...files })) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
  return directory
}

async function build(directory: string): Promise<{ root: string; read: (path: string) => Promise<string> }> {
  const root = await temporaryFolder('root')
  const context = await readBuildContext(directory)
  expect(context.problems).toEqual([])
  await applyDockerfile(context, root)
  return { root, read: (path) => readFile(join(root, path), 'utf8') }
}

test('files go where Docker puts them', async () => {
  const files = { 'a.txt': 'a', 'b.txt': 'b', '.hidden.txt': 'h', 'tree/deep/c.txt': 'c', 'tree/d.txt': 'd' }
  const directory = await makeContext(
    [
      'FROM x',
      'WORKDIR /app',
      'COPY a.txt renamed.txt',
      'COPY a.txt into/',
      'COPY *.txt globbed/',
      'COPY tree contents',
      'COPY tree/* picked/',
      'COPY a.txt contents',
      'COPY --chmod=640 a.txt b.txt /modes/',
      'COPY ../../b.txt /clamped.txt',
    ].join('\n'),
    files,
  )
  const { root, read } = await build(directory)
  expect(await read('app/renamed.txt')).toBe('a')
  expect(await read('app/into/a.txt')).toBe('a')
  expect(await read('app/globbed/b.txt')).toBe('b')
  expect(await read('app/globbed/.hidden.txt')).toBe('h')
  expect(await read('app/contents/deep/c.txt')).toBe('c')
  expect(await read('app/contents/d.txt')).toBe('d')
  // Of directories that a pattern matches, the contents are copied.
  expect(await read('app/picked/c.txt')).toBe('c')
  expect(await read('app/contents/a.txt')).toBe('a')
  expect((await stat(join(root, 'modes/b.txt'))).mode & 0o777).toBe(0o640)
  expect(await read('clamped.txt')).toBe('b')
})

test('.dockerignore leaves files out, also of a whole context', async () => {
  const directory = await makeContext('FROM x\nCOPY . /app/\n', {
    '.dockerignore': '*.log\nsecret\n!keep.log\n',
    'a.log': '',
    'keep.log': 'kept',
    'secret/key': 'k',
    'b.txt': 'b',
  })
  const { root, read } = await build(directory)
  expect(await read('app/b.txt')).toBe('b')
  expect(await read('app/keep.log')).toBe('kept')
  await expect(lstat(join(root, 'app/a.log'))).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(lstat(join(root, 'app/secret'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a source that is not there is a problem with its line', async () => {
  const directory = await makeContext('FROM x\n\nCOPY missing.txt nothing*.txt /app/\n', {})
  const { problems } = await readBuildContext(directory)
  expect(problems.map(({ field, value }) => [field, value])).toEqual([
    ['environment/Dockerfile:3', 'missing.txt'],
    ['environment/Dockerfile:3', 'nothing*.txt'],
  ])
})

test('symbolic links are copied as links, and nothing is written through them', async () => {
  const directory = await makeContext('FROM x\nCOPY links /app/\nCOPY a.txt /app/out/a.txt\n', { 'a.txt': 'a' })
  const outside = await temporaryFolder('outside')
  await mkdir(join(directory, 'links'))
  await symlink(outside, join(directory, 'links/out'))
  const root = await temporaryFolder('root')
  const built = applyDockerfile(await readBuildContext(directory), root)
  await expect(built).rejects.toMatchObject({ code: 'image-build-failed' })
  expect(await readlink(join(root, 'app/out'))).toBe(outside)
  await expect(lstat(join(outside, 'a.txt'))).rejects.toMatchObject({ code: 'ENOENT' })
})
