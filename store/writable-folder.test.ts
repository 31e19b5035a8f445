import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { proveWritableFolder } from './writable-folder.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'

test('a folder is made with its parents, and nothing is left in it', async () => {
  const folder = join(await temporaryFolder('folder'), 'a/b/c')
  await proveWritableFolder('--jobs-dir', folder)
  await proveWritableFolder('--jobs-dir', folder)
  expect(await readdir(folder)).toEqual([])
})

test.each(['/proc/x', '/proc/x/y', '/sys/x'])('%s is refused by name, and at once', async (folder) => {
  await expect(proveWritableFolder('--jobs-dir', folder)).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining(`--jobs-dir is "${folder}"`),
  })
})

test('a file in the place of the folder, or of a parent, is refused', async () => {
  const file = join(await temporaryFolder('folder'), 'file')
  await writeFile(file, '')
  for (const folder of [file, join(file, 'below')]) {
    await expect(proveWritableFolder('ROLLCALL_STATE_DIR', folder)).rejects.toMatchObject({
      code: 'configuration-invalid',
    })
  }
})
