import type { Readable } from 'node:stream'

/** A line of a trace longer than this is passed over. */
const longestLine = 4 * 1024 * 1024

/** The lines of a stream, whatever their number; undefined for one that is too long to be read. */
export async function* readLines(stream: Readable, longest = longestLine): AsyncGenerator<string | undefined> {
  let parts: Buffer[] = []
  let size = 0
  const take = (end: Buffer): string | undefined => {
    const line = size + end.length > longest ? undefined : Buffer.concat([...parts, end]).toString()
    parts = []
    size = 0
    return line
  }
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0
    for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
      yield take(chunk.subarray(from, to))
      from = to + 1
    }
    const rest = chunk.subarray(from)
    size += rest.length
    if (size <= longest) parts.push(rest)
    else parts = []
  }
  if (size > 0) yield take(Buffer.alloc(0))
}
