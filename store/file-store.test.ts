import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFileStore } from './file-store.ts'
import { describeStoreContract } from './store-contract.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'

describeStoreContract('file', async () => createFileStore(await temporaryFolder('store')))

test('of an unfinished or superfluous write no file is left', async () => {
  const folder = await temporaryFolder('store')
  const store = createFileStore(folder)
  expect(await store.putOnce('a', Buffer.from('first'))).toBe('stored')
  expect(await store.putOnce('a', Buffer.from('second'))).toBe('exists')
  expect(await readdir(join(folder, '.writing'))).toEqual([])
})
