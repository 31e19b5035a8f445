import { expect, test } from 'vitest'
import { connectToDocker, describeConnection, dockerConnection } from './docker-connection.ts'

test.each([
  [undefined, { socketPath: '/var/run/docker.sock' }],
  ['', { socketPath: '/var/run/docker.sock' }],
  ['/run/user/1000/docker.sock', { socketPath: '/run/user/1000/docker.sock' }],
  ['unix:///run/podman.sock', { socketPath: '/run/podman.sock' }],
  ['tcp://10.0.0.5:2375', { host: '10.0.0.5', port: 2375 }],
])('the setting %s means %o', (setting, connection) => {
  expect(dockerConnection(setting)).toEqual(connection)
})

test.each(['ssh://host', 'tcp://host', 'docker.sock'])(
  'the setting %s is refused with what was expected',
  (setting) => {
    expect(() => dockerConnection(setting)).toThrow(/expected unix:\/\/\/path or tcp:\/\/host:port/)
  },
)

test('DOCKER_HOST of this process changes nothing for a connection that is given', async () => {
  const before = process.env['DOCKER_HOST']
  process.env['DOCKER_HOST'] = 'tcp://127.0.0.1:9'
  try {
    const { calls } = connectToDocker({ socketPath: '/no/such/docker.sock' })
    await expect(calls.version()).rejects.toThrow('ENOENT /no/such/docker.sock')
  } finally {
    if (before === undefined) delete process.env['DOCKER_HOST']
    else process.env['DOCKER_HOST'] = before
  }
})

test('a connection is described by its address', () => {
  expect(describeConnection({ socketPath: '/a' })).toBe('/a')
  expect(describeConnection({ host: 'h', port: 1 })).toBe('h:1')
})
