import { createHash } from 'node:crypto'
import { PassThrough, Transform } from 'node:stream'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** The bytes of `source`, breaking off at the end with `error` unless their sha256 is `checksum`. */
export function verifiedStream(
  source: Readable,
  checksum: string,
  error: Error,
): { stream: Readable; mismatch: () => Error | undefined } {
  const hash = createHash('sha256')
  let mismatch: Error | undefined
  const check = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      hash.update(chunk)
      callback(null, chunk)
    },
    flush(callback) {
      mismatch = hash.digest('hex') === checksum ? undefined : error
      callback(mismatch)
    },
  })
  const output = new PassThrough()
  // A failure reaches the reader through the stream itself.
  pipeline(source, check, output).catch(() => undefined)
  return { stream: output, mismatch: () => mismatch }
}
