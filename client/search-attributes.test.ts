import { once } from 'node:events'
import { createServer } from 'node:http2'
import type { Http2Server, ServerHttp2Stream } from 'node:http2'
import { Connection } from '@temporalio/client'
import proto from '@temporalio/proto'
import { afterEach, expect, test } from 'vitest'
import { searchAttributeNames } from '../protocol/names.ts'
import { ensureSearchAttributes, searchAttributeTypes } from './search-attributes.ts'

const { ListSearchAttributesResponse } = proto.temporal.api.operatorservice.v1
const permissionDenied = 7
const [keyword, double] = [2, 4]
let server: Http2Server | undefined
let connection: Connection | undefined

afterEach(async () => {
  await connection?.close()
  server?.close()
})

const registered = Object.fromEntries(
  Object.entries(searchAttributeTypes).map(([name, type]) => [name, type === 'Double' ? double : keyword]),
)

test('all of Rollcall’s names are typed, the reward as a number', () => {
  const { reward, ...others } = searchAttributeNames
  expect(searchAttributeTypes[reward]).toBe('Double')
  for (const name of Object.values(others)) expect(searchAttributeTypes[name]).toBe('Keyword')
})

test('when all are registered one call is made', async () => {
  const calls = await startOperatorService((stream) => answer(stream, { customAttributes: registered }))
  expect(await ensureSearchAttributes(connect(calls.port), 'evals')).toEqual([])
  expect(calls.paths).toEqual(['/temporal.api.operatorservice.v1.OperatorService/ListSearchAttributes'])
})

test('where registering is forbidden the missing ones come back with the command that creates each', async () => {
  const { RollcallReward: _, ...others } = registered
  const calls = await startOperatorService((stream, path) =>
    path.endsWith('/ListSearchAttributes') ? answer(stream, { customAttributes: others }) : refuse(stream),
  )
  expect(await ensureSearchAttributes(connect(calls.port), 'evals')).toEqual([
    {
      name: 'RollcallReward',
      type: 'Double',
      command: 'temporal operator search-attribute create --namespace evals --name RollcallReward --type Double',
    },
  ])
})

test('where even listing is forbidden all are taken to be missing', async () => {
  const calls = await startOperatorService(refuse)
  const missing = await ensureSearchAttributes(connect(calls.port), 'evals')
  expect(missing.map(({ name }) => name)).toEqual(Object.keys(searchAttributeTypes))
})

function connect(port: number): Connection {
  connection = Connection.lazy({ address: `127.0.0.1:${port}` })
  return connection
}

/** A server that speaks gRPC and answers as told; the paths of the calls are kept. */
async function startOperatorService(respond: (stream: ServerHttp2Stream, path: string) => void) {
  const paths: string[] = []
  server = createServer()
  server.on('stream', (stream, headers) => {
    const path = headers[':path'] ?? ''
    if (path.includes('OperatorService')) paths.push(path)
    respond(stream, path)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { paths, port: address === null || typeof address === 'string' ? 0 : address.port }
}

function refuse(stream: ServerHttp2Stream): void {
  const headers = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(permissionDenied) }
  stream.respond(headers, { endStream: true })
}

function answer(stream: ServerHttp2Stream, list: { customAttributes: Record<string, number> }): void {
  const message = ListSearchAttributesResponse.encode(ListSearchAttributesResponse.create(list)).finish()
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(message.length, 1)
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(Buffer.concat([frame, message]))
}
