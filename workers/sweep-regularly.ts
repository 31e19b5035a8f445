import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Client } from '@temporalio/client'
import { jobOptionsSchema } from '../protocol/job.ts'
import { jobKey, planKey } from '../store/keys.ts'
import { openStore } from '../store/open-store.ts'
import { providersHere } from './providers.ts'
import type { Providers } from './providers.ts'
import type { ProviderSettings } from './reached-providers.ts'
import { sweepPlace } from './sweep.ts'

const sweepEveryMs = 5 * 60_000
/** A job's own worker starts before its job is planned. */
const lookForPlanEveryMs = 5_000

export interface RegularSweep {
  readonly client: Client
  readonly providers: Providers
  /** A job's own worker sweeps the place of its job's provider; without it what `providerNames` and `reached` say. */
  readonly job?: string
  /** Without a job: only these, with their default settings. Default: all that are somewhere without being told. */
  readonly providerNames?: readonly string[]
  /** Without a job: also those at whose places workers of this host have placed rollouts. Default: none. */
  readonly reached?: () => Promise<readonly ProviderSettings[]>
  /** Where the job's provider is looked up. */
  readonly storeUrl: string
  readonly log: (line: string) => void
  readonly stop: AbortSignal
  /** Milliseconds since 1970. Default: the clock. */
  readonly now?: () => number
}

/**
 * Sweeps this worker's place at once and then every five minutes, until it is told to stop. Never throws: what is out of
 * reach is said once, left alone, and swept the next time.
 */
export async function sweepRegularly(sweep: RegularSweep): Promise<void> {
  let said: readonly string[] = []
  while (!sweep.stop.aborted) {
    const { problems, swept } = await sweepAll(sweep).catch(failedWholly)
    // Its connections are being closed: what it then could not do is nobody's problem.
    if (sweep.stop.aborted) return
    for (const problem of problems) if (!said.includes(problem)) sweep.log(`not swept: ${problem}`)
    said = problems
    const waitMs = swept === 0 ? lookForPlanEveryMs : sweepEveryMs
    await delay(waitMs, undefined, { signal: sweep.stop, ref: false }).catch(() => undefined)
  }
}

interface Round {
  readonly problems: readonly string[]
  /** How many places were looked at, in vain or not. */
  readonly swept: number
}

async function sweepAll(sweep: RegularSweep): Promise<Round> {
  const { client, log } = sweep
  const policy = { nowMs: (sweep.now ?? Date.now)() }
  const problems: string[] = []
  const places = await placesOf(sweep)
  for (const { name, options } of places) {
    if (sweep.stop.aborted) break
    try {
      await sweepPlace({ client, provider: await sweep.providers.provider(name, options), policy, log })
    } catch (error) {
      problems.push(messageOf(error))
    }
  }
  return { problems, swept: places.length }
}

async function placesOf(sweep: RegularSweep): Promise<readonly ProviderSettings[]> {
  const { job, providerNames: names = providersHere, reached, storeUrl } = sweep
  if (job === undefined) {
    const here = names.filter((name) => providersHere.includes(name)).map((name) => ({ name, options: {} }))
    const known = (await reached?.()) ?? []
    return [...here, ...known.filter((one) => !here.some((other) => isDeepStrictEqual(one, other)))]
  }
  const store = openStore(storeUrl)
  const [bytes, plan] = await Promise.all([store.get(jobKey(job)), store.get(planKey(job))])
  // Before its plan is made nobody has found out whether the provider exists and takes these settings.
  if (bytes === undefined || plan === undefined) return []
  const { provider } = jobOptionsSchema.parse(JSON.parse(bytes.toString()))
  return [{ name: provider.name, options: provider.options }]
}

function failedWholly(error: unknown): Round {
  return { problems: [messageOf(error)], swept: 1 }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
