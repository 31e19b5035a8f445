/**
 * `npm run chaos -- --seed N --rollouts M`: runs jobs under random faults, prints the table of faults injected and
 * survived, and exits 1 when an invariant is broken, naming where the evidence lies. The same seed gives the same
 * taskset and the same plan of faults.
 */
import { parseArgs } from 'node:util'
import { DefaultLogger, Runtime } from '@temporalio/worker'
import { isFaultKind, kindsFor } from '../testing/chaos/fault-plan.ts'
import type { ChaosProvider, FaultKind } from '../testing/chaos/fault-plan.ts'
import { formatReport } from '../testing/chaos/report.ts'
import { runPoolChaos } from '../testing/chaos/run-pool-chaos.ts'
import { runChaos } from '../testing/chaos/run-chaos.ts'
import { provision } from './provision.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    rollouts: { type: 'string', default: '60' },
    concurrency: { type: 'string', default: '12' },
    /** How many; default two for each rollout, which is about one a second. */
    count: { type: 'string' },
    /** Default: both. */
    provider: { type: 'string' },
    /** Share of the job, 0 to 1, at which somebody cancels it. */
    'cancel-at': { type: 'string' },
    /** Kinds with commas between them; default all. */
    faults: { type: 'string' },
    /** Storms over a pool instead, on Docker: `rollouts` leases. */
    pools: { type: 'boolean', default: false },
  },
})

const all: readonly ChaosProvider[] = ['local', 'docker']
const providers = all.filter((name) => values.provider === undefined || values.provider === name)
const unknown = values.faults?.split(',').find((name) => !isFaultKind(name))
const rollouts = Number(values.rollouts)
if (providers.length === 0 || unknown !== undefined || !(rollouts > 0)) {
  console.error(`Expected --provider local or docker, --rollouts above 0, --faults of ${kindsFor('docker').join(',')}`)
  process.exit(2)
}
// Each replay makes a worker, which would tell all about its life.
Runtime.install({ logger: new DefaultLogger('ERROR') })
await provision()
if (values.pools) {
  const seed = Number(values.seed)
  const faults = Number(values.count ?? Math.ceil(rollouts / 6))
  const log = (line: string): void => console.log(line)
  console.log(`chaos over a pool: --pools --seed ${seed} --rollouts ${rollouts}`)
  const report = await runPoolChaos({ seed, holders: 8, rounds: Math.ceil(rollouts / 8), faults, log })
  console.log(JSON.stringify(report, undefined, 2))
  process.exit(report.broken.length > 0 ? 1 : 0)
}
for (const provider of providers) {
  const seed = Number(values.seed)
  console.log(`chaos on ${provider}: --seed ${seed} --rollouts ${rollouts}`)
  const report = await runChaos({
    provider,
    seed,
    rollouts,
    concurrency: Number(values.concurrency),
    faults: Number(values.count ?? 2 * rollouts),
    kinds: chosenKinds(provider),
    ...(values['cancel-at'] === undefined ? {} : { cancelAtShare: Number(values['cancel-at']) }),
    env: process.env,
    log: (line) => console.log(line),
  })
  console.log(formatReport(report))
  if (report.broken.length > 0) process.exitCode = 1
}

function chosenKinds(provider: ChaosProvider): FaultKind[] {
  const possible = kindsFor(provider)
  const wanted = values.faults?.split(',')
  return wanted === undefined ? possible : possible.filter((kind) => wanted.includes(kind))
}
