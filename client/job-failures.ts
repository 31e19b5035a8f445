import type { RollcallError } from '../protocol/failure.ts'
import { connectTemporal } from './connect.ts'
import type { ClientEnvironment } from './environment.ts'
import { failureOf } from './job-ending.ts'

/** Why jobs without a summary have failed, by id: those that were refused, or that Temporal no longer knows. */
export async function jobFailures(
  jobs: readonly string[],
  environment: ClientEnvironment,
): Promise<ReadonlyMap<string, RollcallError>> {
  if (jobs.length === 0) return new Map()
  const temporal = await connectTemporal({ ...environment, onProgress: () => {} })
  try {
    const failures = await Promise.all(jobs.map(async (job) => [job, await failureOf(temporal.client, job)] as const))
    return new Map(failures.flatMap(([job, failure]) => (failure === undefined ? [] : [[job, failure]])))
  } finally {
    await temporal.close()
  }
}
