import { expect, test } from 'vitest'
import { runPoolChaos } from './run-pool-chaos.ts'

test('a pool whose workers, server and sandboxes are killed doubles, exceeds, loses and leaves nothing', async () => {
  const seed = 5
  const log: string[] = []
  const say = (line: string): void => void log.push(line)
  const report = await runPoolChaos({ seed, holders: 8, rounds: 6, faults: 9, log: say })
  console.log(`seed ${seed}: ${JSON.stringify(report)}`)
  expect(report.broken, `repeat it with: npm run chaos -- --pools --seed ${seed}\n${log.join('\n')}`).toEqual([])
  expect(report.injected.length).toBeGreaterThan(6)
  expect(report.rounds + report.lost).toBe(48)
})
