/**
 * `node providers/daytona/testing/serve-daytona.ts`: the test server by itself, to try things by hand. It prints the
 * environment of a worker that shall use it, and ends with SIGINT or SIGTERM, with everything that was made on it.
 */
import { once } from 'node:events'
import process from 'node:process'
import { dockerConnection } from '../../docker/docker-connection.ts'
import { LoopbackDaytona } from './loopback-daytona.ts'

const daytona = await LoopbackDaytona.start({ connection: dockerConnection(process.env['DOCKER_HOST']) })
process.stdout.write(`export DAYTONA_API_KEY=${daytona.apiKey} DAYTONA_API_URL=${daytona.access.apiUrl}\n`)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await daytona.close()
