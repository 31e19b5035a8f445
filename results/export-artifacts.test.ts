import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { unpackArtifacts } from './export-artifacts.ts'

test('of artifacts with more names than a disk has room for, the first are unpacked', async () => {
  const jobsDir = await temporaryFolder('artifacts')
  const tar = pack()
  for (let file = 0; file < 4; file += 1) tar.entry({ name: `${file}/${'d/'.repeat(98)}f` }, '')
  tar.entry({ name: 'last' }, 'x')
  tar.finalize()
  const bytes = await buffer(tar)
  const artifact = { source: '/out', destination: 'out', type: 'directory' as const, status: 'ok' as const, key: 'k' }
  const open = async () => Readable.from([bytes])
  await unpackArtifacts([artifact], { open, folder: join(jobsDir, 'artifacts'), most: 250 })
  expect(await readdir(join(jobsDir, 'artifacts/out'))).toEqual(['0', '1'])
  expect(await readdir(jobsDir)).toEqual(['artifacts'])
})
