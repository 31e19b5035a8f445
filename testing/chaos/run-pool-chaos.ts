import { profileSchema } from '../../protocol/pool.ts'
import { dockerConnection } from '../../providers/docker/docker-connection.ts'
import { createDockerProvider } from '../../providers/docker/docker-provider.ts'
import { testImageMap } from '../../scripts/test-images.ts'
import { openHome } from '../durability-home.ts'
import { PoolStorm } from './pool-storm.ts'
import type { PoolStormOptions, PoolStormReport } from './pool-storm.ts'

/** A pool of two sandboxes with three slots each on Docker, under faults of a seed: on a server and workers of its own. */
export async function runPoolChaos(
  options: Pick<PoolStormOptions, 'seed' | 'holders' | 'rounds' | 'faults' | 'log'>,
): Promise<PoolStormReport> {
  const home = await openHome()
  const { stateDirectory, env } = home.environment
  const provider = createDockerProvider({ connection: dockerConnection(env['DOCKER_HOST']), stateDirectory })
  const profile = profileSchema.parse({
    name: 'storm',
    provider: { name: 'docker' },
    runtime: { image: 'debian:12', network: 'none' },
    imageMap: testImageMap,
    slotsPerSandbox: 3,
    minSandboxes: 1,
    maxSandboxes: 2,
    idleTimeoutMs: 3_000,
  })
  try {
    return await new PoolStorm({ ...options, home, provider, profile }).rage()
  } finally {
    await provider.close()
    await home.close()
  }
}
