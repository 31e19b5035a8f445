import { afterAll } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { ensureTestImages } from '../../scripts/test-images.ts'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { dockerConnection } from '../docker/docker-connection.ts'
import { createDaytonaProvider } from './daytona-provider.ts'
import { LoopbackDaytona } from './testing/loopback-daytona.ts'

const connection = dockerConnection(process.env['DOCKER_HOST'])
const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
const daytona = await LoopbackDaytona.start({ connection })

afterAll(() => daytona.close())

describeConformance('daytona', {
  makeProvider: () => createDaytonaProvider({ access: daytona.access }),
  spec: { imageMap },
  deviations: [
    {
      name: 'a command that runs out of memory fails and says why; the sandbox lives on',
      reason: 'Daytona gives memory in whole GiB, so that no sandbox can be as small as the case wants it',
    },
  ],
})
