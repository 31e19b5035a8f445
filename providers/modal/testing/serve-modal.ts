/** The test server as a process of its own: says its URL, and ends with its standard input. */
import { connectToDocker, dockerConnection } from '../../docker/docker-connection.ts'
import { startModalServer } from './modal-server.ts'

const server = await startModalServer(connectToDocker(dockerConnection(process.env['DOCKER_HOST'])).streams)
process.stdout.write(`${server.url}\n`)
process.stdin.resume()
process.stdin.once('end', () => void server.stop().then(() => process.exit(0)))
