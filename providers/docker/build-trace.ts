import protobuf from 'protobufjs'
import { z } from 'zod'

/**
 * The lines of one trace message of BuildKit that a person wants to see: steps that begin, and what their commands
 * print. The client library has a decoder too, but it shows printed lines as base64.
 *
 * @param aux Base64 of a `moby.buildkit.v1.StatusResponse`.
 */
export function readBuildTrace(aux: string): string[] {
  const { vertexes, logs } = traceSchema.parse(statusResponse.decode(Buffer.from(aux, 'base64')))
  const steps = vertexes.filter(
    (step) => step.started != null && step.completed == null && !step.name.startsWith('[internal]'),
  )
  const printed = logs.map((log) => Buffer.from(log.msg).toString('utf8')).join('')
  return [...steps.map((step) => step.name), ...printed.split('\n')].map((line) => line.trimEnd()).filter(Boolean)
}

/** Only the fields that are read; a decoder skips the others. */
const statusResponse = protobuf
  .parse(
    `syntax = "proto3";
    message StatusResponse { repeated Vertex vertexes = 1; repeated VertexLog logs = 3; }
    message Vertex { string name = 3; Time started = 5; Time completed = 6; }
    message VertexLog { bytes msg = 4; }
    message Time { int64 seconds = 1; }`,
  )
  .root.lookupType('StatusResponse')

const traceSchema = z.object({
  vertexes: z.array(z.object({ name: z.string(), started: z.unknown().optional(), completed: z.unknown().optional() })),
  logs: z.array(z.object({ msg: z.instanceof(Uint8Array) })),
})
