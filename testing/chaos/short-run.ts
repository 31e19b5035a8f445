import { expect } from 'vitest'
import { kindsFor } from './fault-plan.ts'
import type { ChaosProvider } from './fault-plan.ts'
import { formatReport } from './report.ts'
import { runChaos } from './run-chaos.ts'

/** A run that fits into `npm test`: every kind of fault once or twice. Longer ones: `npm run chaos`. */
export async function expectToSurvive({ provider, seed }: { provider: ChaosProvider; seed: number }): Promise<void> {
  const kinds = kindsFor(provider)
  const log: string[] = []
  const report = await runChaos({
    provider,
    seed,
    rollouts: 10,
    concurrency: 10,
    faults: 12,
    kinds,
    env: process.env,
    log: (line) => log.push(line),
  })
  console.log(formatReport(report))
  expect(
    report.broken,
    `repeat it with: npm run chaos -- --provider ${provider} --seed ${seed}\n${log.join('\n')}`,
  ).toEqual([])
  expect(report.injected.length).toBeGreaterThan(kinds.length / 2)
}
