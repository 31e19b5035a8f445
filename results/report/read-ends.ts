import { open } from 'node:fs/promises'
import type { Store } from '../../store/store.ts'
import { hasCode } from '../export-files.ts'
import type { Ends } from './bounds.ts'

/** Of an object that is not a file of this machine, no more than this is read for its end. */
const mostStreamed = 128 * 1024 * 1024

/**
 * Beginning and end of a stored output, without reading what lies between where the store has files here; elsewhere all
 * of it is read, and of one over 128 MiB only the beginning. Undefined where there is no such object.
 */
export async function readEnds(store: Store, key: string, mostBytes: number): Promise<Ends | undefined> {
  const path = store.localPath?.(key)
  return await (path === undefined ? streamEnds(store, key, mostBytes) : fileEnds(path, mostBytes))
}

async function fileEnds(path: string, mostBytes: number): Promise<Ends | undefined> {
  const file = await open(path).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const { size } = await file.stat()
    const read = async (position: number, length: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
      return buffer.subarray(0, bytesRead)
    }
    if (size <= mostBytes) return ends(await read(0, size), Buffer.alloc(0), 0)
    const half = Math.floor(mostBytes / 2)
    return ends(await read(0, half), await read(size - half, half), size - 2 * half)
  } finally {
    await file.close()
  }
}

async function streamEnds(store: Store, key: string, mostBytes: number): Promise<Ends | undefined> {
  const stream = await store.open(key)
  if (stream === undefined) return undefined
  const half = Math.floor(mostBytes / 2)
  let head = Buffer.alloc(0)
  let tail = Buffer.alloc(0)
  let size = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length
    const wanted = Math.max(0, half - head.length)
    head = Buffer.concat([head, chunk.subarray(0, wanted)])
    tail = Buffer.concat([tail, chunk.subarray(wanted)]).subarray(-half)
    if (size > mostStreamed) return { ...ends(head, Buffer.alloc(0), size - head.length), unit: 'bytes or more' }
  }
  return ends(head, tail, size - head.length - tail.length)
}

/** A character that is cut in two is left out with the rest. */
function ends(head: Buffer, tail: Buffer, left: number): Ends {
  const whole = left === 0
  return {
    head: whole ? head.toString() + tail.toString() : head.toString().replace(/\uFFFD+$/, ''),
    tail: whole ? '' : tail.toString().replace(/^\uFFFD+/, ''),
    left,
    unit: 'bytes',
  }
}
