import { createHash } from 'node:crypto'
import { chmod, mkdir, readFile, readdir, readlink, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { execa } from 'execa'
import { pack } from 'tar-stream'
import type { Header } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { taskKey } from '../store/keys.ts'
import { loadHarborTask } from './harbor-task.ts'
import { fetchTask, packTask, unpackTask, uploadTasks } from './task-copy.ts'
import { temporaryDirectory, writeTask, writeTaskInto } from './task-fixture.ts'
import type { FixtureFile } from './task-fixture.ts'
import { packTree } from './task-tree.ts'
import type { Task } from './task.ts'

const files: Record<string, FixtureFile> = {
  'environment/Dockerfile': 'FROM scratch\n',
  'environment/ünïcode \'quotes" and spaces.txt': 'x',
  [`environment/${'long/'.repeat(40)}name`]: 'deep',
  'environment/empty': '',
  'environment/link': { link: 'empty' },
  'solution/solve.sh': '#!/bin/sh\n',
}

async function loadTask(directory: string): Promise<Task> {
  const loaded = await loadHarborTask(directory)
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  return loaded.task
}

/** The copy of one task with the given entries; its checksum is right, as an attacker's would be. */
async function forgedCopy(entries: (Partial<Header> & { name: string; content?: string })[]) {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  const bytes = await buffer(tar)
  return { tar: bytes, checksum: createHash('sha256').update(bytes).digest('hex') }
}

describe('the copy of a task', () => {
  test('depends on names, contents and the executable bit, and on nothing else', async () => {
    const one = await writeTask(files)
    const other = await writeTask(Object.fromEntries(Object.entries(files).toReversed()))
    await utimes(join(other, 'task.toml'), 1, 1)
    await chmod(join(other, 'task.toml'), 0o600)
    const checksum = (await loadTask(one)).checksum
    expect((await loadTask(other)).checksum).toBe(checksum)

    await chmod(join(other, 'task.toml'), 0o700)
    expect((await loadTask(other)).checksum).not.toBe(checksum)
    await chmod(join(other, 'task.toml'), 0o600)
    await writeFile(join(other, 'environment/empty'), 'x')
    expect((await loadTask(other)).checksum).not.toBe(checksum)
  })

  test('the checksum is the hash of the tar', async () => {
    const task = await loadTask(await writeTask(files))
    const packed = await packTask(task)
    const hash = createHash('sha256').update(await buffer(packed.tar))
    expect(hash.digest('hex')).toBe(task.checksum)
    expect(packed.checksum).toBe(task.checksum)
  })

  test('a task out of the store is the task that was put there', async () => {
    const task = await loadTask(await writeTask(files))
    const store = createFileStore(await temporaryDirectory())
    await uploadTasks(store, [task])
    const fetched = await fetchTask(store, await temporaryDirectory(), task.checksum)
    expect({ ...fetched, directory: '', runtime: {} }).toEqual({ ...task, directory: '', runtime: {} })
    expect((await loadTask(fetched.directory)).checksum).toBe(task.checksum)
    expect(await readlink(join(fetched.directory, 'environment/link'))).toBe('empty')
    expect((await stat(join(fetched.directory, 'solution/solve.sh'))).mode & 0o777).toBe(0o755)
    expect((await stat(join(fetched.directory, 'task.toml'))).mode & 0o777).toBe(0o644)
  })

  test('uploading twice stores once, and equal tasks share a copy', async () => {
    const folder = await temporaryDirectory()
    const task = await loadTask(await writeTaskInto(folder, files))
    const store = createFileStore(await temporaryDirectory())
    await uploadTasks(store, [task, task])
    await uploadTasks(store, [task])
    expect(await store.list('')).toEqual([taskKey(task.checksum)])
  })

  test('a task that changes between loading and uploading is refused, and nothing is stored', async () => {
    const task = await loadTask(await writeTask(files))
    await writeFile(join(task.directory, 'instruction.md'), 'Do something else.')
    const store = createFileStore(await temporaryDirectory())
    await expect(uploadTasks(store, [task])).rejects.toMatchObject({
      code: 'task-invalid',
      message: expect.stringContaining('Task a-task changed while it was being uploaded'),
    })
    expect(await store.list('')).toEqual([])
  })

  test('many workers that fetch at the same time get one whole directory and leave nothing else', async () => {
    const task = await loadTask(await writeTask(files))
    const store = createFileStore(await temporaryDirectory())
    await uploadTasks(store, [task])
    const cache = await temporaryDirectory()
    const fetched = await Promise.all(Array.from({ length: 12 }, () => fetchTask(store, cache, task.checksum)))
    expect(new Set(fetched.map(({ directory }) => directory)).size).toBe(1)
    expect(await readdir(join(cache, 'tasks'))).toEqual([task.checksum])
  })

  test('a copy that the store does not have means that the store is not shared', async () => {
    const store = createFileStore(await temporaryDirectory())
    await expect(fetchTask(store, await temporaryDirectory(), 'a'.repeat(64))).rejects.toMatchObject({
      code: 'store-not-shared',
    })
  })

  test('a copy that was cut or changed is refused and leaves nothing', async () => {
    const task = await loadTask(await writeTask(files))
    const tar = await buffer((await packTask(task)).tar)
    const changed = Buffer.from(tar)
    changed.write('X', changed.indexOf('Do it.'))
    const cacheDirectory = await temporaryDirectory()
    for (const wrong of [
      tar.subarray(0, 1000),
      tar.subarray(0, -512),
      changed,
      Buffer.from('no tar'),
      Buffer.alloc(0),
    ]) {
      await expect(unpackTask({ tar: wrong, cacheDirectory, checksum: task.checksum })).rejects.toThrow()
    }
    expect(await readdir(join(cacheDirectory, 'tasks'))).toEqual([])
  })

  test.each([
    ['climbs', [{ name: 't/../../evil', content: 'x' }]],
    ['is absolute', [{ name: '/tmp/rollcall-evil', content: 'x' }]],
    [
      'goes through a link',
      [
        { name: 't/d', type: 'symlink' as const, linkname: 'sub' },
        { name: 't/d/evil', content: 'x' },
      ],
    ],
    ['links out', [{ name: 't/d', type: 'symlink' as const, linkname: '../../x' }]],
    ['links to an absolute path', [{ name: 't/d', type: 'symlink' as const, linkname: '/etc' }]],
    ['is a hard link', [{ name: 't/d', type: 'link' as const, linkname: '/etc/passwd' }]],
    ['is a device', [{ name: 't/d', type: 'character-device' as const }]],
    ['is a FIFO', [{ name: 't/d', type: 'fifo' as const }]],
  ])('an entry that %s is refused and nothing is written', async (_, entries) => {
    const cacheDirectory = await temporaryDirectory()
    const copy = await forgedCopy(entries)
    await expect(unpackTask({ ...copy, cacheDirectory })).rejects.toMatchObject({ code: 'task-invalid' })
    expect(await readdir(join(cacheDirectory, 'tasks'))).toEqual([])
    expect(await readdir(cacheDirectory)).toEqual(['tasks'])
  })
})

describe('a folder of a task, packed for a sandbox', () => {
  async function names(task: Task, folder: string): Promise<string[]> {
    const { stdout } = await execa('tar', ['tv', '--quoting-style=literal'], { input: await packTree(task, folder) })
    return stdout.split('\n').map((line) => line.replace(/^(\S+).* 1970-01-01 00:00 (.*)$/, '$1 $2'))
  }

  test('names are relative to it, and scripts are executable whatever their mode', async () => {
    const directory = await writeTask({ 'tests/data/cases.txt': 'x', 'tests/check': '#!/bin/awk -f\n' })
    await chmod(join(directory, 'tests/test.sh'), 0o600)
    await chmod(join(directory, 'tests/check'), 0o644)
    await mkdir(join(directory, 'tests/none'))
    expect(await names(await loadTask(directory), 'tests')).toEqual([
      '-rwxr-xr-x check',
      'drwxr-xr-x data',
      '-rw-r--r-- data/cases.txt',
      'drwxr-xr-x none',
      '-rwxr-xr-x test.sh',
    ])
  })

  test('a single file becomes a tar with that file', async () => {
    expect(await names(await loadTask(await writeTask()), 'tests/test.sh')).toEqual(['-rwxr-xr-x test.sh'])
  })

  test('a folder that is not there is refused by name, and so is one outside', async () => {
    const task = await loadTask(await writeTask())
    await expect(packTree(task, 'solution')).rejects.toMatchObject({ code: 'task-invalid' })
    await expect(packTree(task, '../a-task')).rejects.toThrow('Task a-task has no "../a-task"')
    expect(String(await readFile(join(task.directory, 'instruction.md')))).toBe('Do it.\n')
  })
})
