import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { readChanges } from './system-picture.ts'

const changes = [
  { Kind: 0, Path: '/etc' },
  { Kind: 1, Path: '/etc/a "b" },{\\' },
  { Kind: 1, Path: '/app/of-the-agent' },
  { Path: '/usr/bin/ü', Kind: 2 },
  { Kind: 1, Path: '/usrlocal' },
]

test('the Engine’s list is read wherever it is cut, and only system folders are kept', async () => {
  const bytes = Buffer.from(JSON.stringify(changes))
  for (const size of [1, 7, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    )
    expect(await readChanges(Readable.from(chunks, { objectMode: false }))).toEqual({
      paths: [
        ['/etc', 'changed'],
        ['/etc/a "b" },{\\', 'added'],
        ['/usr/bin/ü', 'removed'],
      ],
      isCut: false,
    })
  }
})

test('nothing has changed', async () => {
  expect(await readChanges(Readable.from([Buffer.from('null\n')]))).toEqual({ paths: [], isCut: false })
})

test('an answer without an end is left', async () => {
  let asked = 0
  const endless = new Readable({
    read() {
      asked += 1
      this.push(
        Array.from({ length: 1_000 }, (_, at) => JSON.stringify({ Kind: 1, Path: `/etc/${asked}-${at}` })).join(','),
      )
    },
  })
  const { paths, isCut } = await readChanges(endless)
  expect([paths.length, isCut]).toEqual([5_000, true])
})
