import { Duplex, Transform } from 'node:stream'
import type { Fault, FaultScript } from './faults.ts'

export interface FaultyAttachment {
  readonly script: FaultScript
  readonly connection: Duplex
  /** Kills the sandbox. */
  readonly die: () => Promise<void>
}

/** A request for a command as it stands on the wire (runner/protocol.md): its verb, its scope and its name. */
const execRequest = /(?:^|\n)x '?[a-z0-9]{1,32}'? '?\d+-\d+-\d+-\d+/g

/** An attachment whose requests for commands meet the faults that the script has for `exec`. */
export function withExecFaults({ script, connection, die }: FaultyAttachment): Duplex {
  const requests = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      pass(chunk).then((passed) => done(null, passed), done)
    },
  })
  const pass = async (chunk: Buffer): Promise<Buffer | undefined> => {
    const count = chunk.toString('latin1').match(execRequest)?.length ?? 0
    for (let request = 0; request < count; request += 1) {
      const fault = await script.next('exec')
      if (fault !== undefined) return await meet(fault, chunk)
    }
    return chunk
  }
  const meet = async (fault: Fault, chunk: Buffer): Promise<Buffer | undefined> => {
    if (fault.effect === 'hang') await script.released()
    if (fault.effect === 'die') await die()
    if (fault.effect === 'hang' || fault.effect === 'die') return chunk
    if (fault.effect === 'cut' || fault.effect === 'throw-after') await written(connection, chunk)
    connection.destroy()
    return undefined
  }
  requests.pipe(connection)
  return Duplex.from({ writable: requests, readable: connection })
}

function written(connection: Duplex, chunk: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  connection.write(chunk, (error) => (error ? reject(error) : resolve()))
  return promise
}
