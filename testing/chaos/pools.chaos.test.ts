import { expect, test } from 'vitest'
import { profileSchema } from '../../protocol/pool.ts'
import { dockerConnection } from '../../providers/docker/docker-connection.ts'
import { createDockerProvider } from '../../providers/docker/docker-provider.ts'
import { testImageMap } from '../../scripts/test-images.ts'
import { openHome } from '../durability-home.ts'
import { PoolStorm } from './pool-storm.ts'

test('a pool whose workers, server and sandboxes are killed doubles, exceeds, loses and leaves nothing', async () => {
  const seed = 5
  const home = await openHome()
  const { stateDirectory } = home.environment
  const provider = createDockerProvider({ connection: dockerConnection(process.env['DOCKER_HOST']), stateDirectory })
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
  const log: string[] = []
  const say = (line: string): void => void log.push(line)
  try {
    const storm = new PoolStorm({ seed, home, provider, profile, holders: 8, rounds: 6, faults: 9, log: say })
    const report = await storm.rage()
    console.log(`seed ${seed}: ${JSON.stringify(report)}`)
    expect(report.broken, `seed ${seed}\n${log.join('\n')}`).toEqual([])
    expect(report.injected.length).toBeGreaterThan(6)
    expect(report.rounds + report.lost).toBe(48)
  } finally {
    await provider.close()
    await home.close()
  }
})
