import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import Docker from 'dockerode'
import { expect, onTestFinished, test } from 'vitest'
import { attach } from './attachment.ts'
import { ContainerLifecycle } from './container-lifecycle.ts'

test('an exec that the Engine refuses to start leaves no connection open', async () => {
  const container = {
    Id: 'c1',
    Name: '/box',
    State: { Status: 'running', Running: true, Paused: false },
    Config: { Labels: { 'rollcall.workdir': '/' } },
  }
  // Node's server takes a request to upgrade for a plain one as long as nobody listens for `upgrade`.
  const engine = createServer(({ url = '' }, response) => {
    const isStart = url.endsWith('/start')
    response.writeHead(isStart ? 500 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(url.endsWith('/json') ? container : { Id: 'e1', message: 'container not running' }))
  })
  engine.keepAliveTimeout = 0
  onTestFinished(() => {
    engine.closeAllConnections()
    engine.close()
  })
  const open = new Set<Socket>()
  engine.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  engine.listen(0, '127.0.0.1')
  await once(engine, 'listening')
  const address = engine.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  const docker = new Docker({ host: '127.0.0.1', port: address.port })

  await expect(attach(docker, new ContainerLifecycle(docker), 'box')).rejects.toThrow('not running')

  await expect.poll(() => open.size).toBe(0)
})
