import { Duplex } from 'node:stream'

/** Docker's frame header: stream number, three zeros, length of the payload. */
const headerBytes = 8
const stdoutStream = 1

/**
 * One hijacked exec as a Duplex: writes go to the command's stdin, its stdout comes out. Its stderr is dropped; nothing
 * of it is kept. Both directions have backpressure: what nobody reads stays in the Engine and finally stops the command.
 * `end()` is the command's end of file; `destroy()` cuts the connection, which the command sees as end of file as well.
 * A connection that the other side cuts ends the stream without an error: only `inspect` can tell why.
 */
export function execStream(socket: Duplex): Duplex {
  const split = stdoutSplitter()
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      socket.write(chunk, (error) => done(isCut(error) ? null : error))
    },
    final: (done) => {
      socket.end(() => done())
    },
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', (chunk: Buffer) => {
    for (const payload of split(chunk)) if (!stream.push(payload)) socket.pause()
  })
  socket.once('end', () => stream.push(null))
  socket.once('close', () => stream.push(null))
  socket.on('error', (error) => {
    if (!isCut(error)) stream.destroy(error)
  })
  return stream
}

/** Takes the Engine's frames apart, however they are cut into chunks, without waiting for a whole frame. */
export function stdoutSplitter(): (chunk: Buffer) => Buffer[] {
  let header = Buffer.alloc(0)
  let payloadLeft = 0
  let isStdout = false
  return (chunk) => {
    const payloads: Buffer[] = []
    let rest = chunk
    while (rest.length > 0) {
      if (payloadLeft > 0) {
        const payload = rest.subarray(0, payloadLeft)
        if (isStdout) payloads.push(payload)
        payloadLeft -= payload.length
        rest = rest.subarray(payload.length)
        continue
      }
      const missing = headerBytes - header.length
      header = Buffer.concat([header, rest.subarray(0, missing)])
      rest = rest.subarray(missing)
      if (header.length < headerBytes) break
      isStdout = header[0] === stdoutStream
      payloadLeft = header.readUInt32BE(4)
      header = Buffer.alloc(0)
    }
    return payloads
  }
}

function isCut(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return (
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    code === 'ERR_STREAM_DESTROYED' ||
    code === 'ERR_STREAM_WRITE_AFTER_END'
  )
}
