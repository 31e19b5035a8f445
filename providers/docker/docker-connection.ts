import Docker from 'dockerode'
import { RollcallError } from '../../protocol/failure.ts'

/** Where the Engine's API is. Nothing is taken from the environment: whoever composes the provider passes it. */
export type DockerConnection =
  /** Absolute path of a unix socket, usually `/var/run/docker.sock`. */
  | { readonly socketPath: string }
  | {
      readonly host: string
      readonly port: number
      /** Client certificate, for an Engine behind TLS; all three or none. */
      readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string }
    }

/** Longest time an Engine may be silent while it answers one call; a pull, a build or an attachment has no such end. */
const callTimeoutMs = 120_000

export interface DockerClients {
  /** For calls with one answer. */
  readonly calls: Docker
  /** For streams, which may be silent for as long as they like. */
  readonly streams: Docker
}

export function connectToDocker(connection: DockerConnection): DockerClients {
  const options = modemOptions(connection)
  return { calls: new Docker({ ...options, timeout: callTimeoutMs }), streams: new Docker(options) }
}

/**
 * The connection that a setting in the form of DOCKER_HOST names: `unix:///path`, a plain absolute path or
 * `tcp://host:port`; nothing means the usual socket. @throws `configuration-invalid`
 */
export function dockerConnection(setting: string | undefined): DockerConnection {
  if (setting === undefined || setting === '') return { socketPath: '/var/run/docker.sock' }
  const socketPath = setting.replace(/^unix:\/\//, '')
  if (socketPath.startsWith('/')) return { socketPath }
  const tcp = /^tcp:\/\/([^/:]+):(\d+)\/?$/.exec(setting)
  if (tcp?.[1] !== undefined) return { host: tcp[1], port: Number(tcp[2]) }
  throw new RollcallError(
    'configuration-invalid',
    `Docker address ${JSON.stringify(setting)}: expected unix:///path or tcp://host:port; set DOCKER_HOST or the setting socket.`,
  )
}

/** How the Engine is called in messages. */
export function describeConnection(connection: DockerConnection): string {
  return 'socketPath' in connection ? connection.socketPath : `${connection.host}:${connection.port}`
}

/**
 * Every option that the client library would otherwise take from DOCKER_HOST and its like is set, if only to undefined.
 */
function modemOptions(connection: DockerConnection): Docker.DockerOptions {
  const none = { host: undefined, port: undefined, username: undefined, timeout: undefined, protocol: 'http' } as const
  if ('socketPath' in connection) return { ...none, socketPath: connection.socketPath }
  const { host, port, tls } = connection
  return { ...none, host, port, ...(tls && { ...tls, protocol: 'https' }) }
}
