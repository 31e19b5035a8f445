import { proxyActivities } from '@temporalio/workflow'
import type { ActivityOptions } from '@temporalio/workflow'
import type { Activities, HandedOver } from '../protocol/activities.ts'

/** The interface as a plain record, which proxyActivities wants. */
type ActivitiesByName = { [Name in keyof Activities]: Activities[Name] }

/** Calls one activity with its row of the timing table and a one-line summary for the Temporal UI. */
export async function callActivity<Name extends keyof Activities>(
  name: Name,
  options: ActivityOptions & { summary: string },
  input: Parameters<Activities[Name]>[0],
): Promise<Awaited<ReturnType<Activities[Name]>>> {
  const stubs = proxyActivities<ActivitiesByName>(options)
  // One call site for all activities: the compiler cannot relate `Name` to its own parameter and result types.
  const stub = stubs[name] as (argument: typeof input) => Promise<Awaited<ReturnType<Activities[Name]>>>
  return await stub(input)
}

/** Repeats a call as long as it answers that its worker is shutting down; costs no attempt. Repetitions are told so. */
export async function untilKept<Result extends object>(
  call: (wasHandedOver: boolean) => Promise<Result | HandedOver>,
): Promise<Result> {
  for (let calls = 0; ; calls += 1) {
    const result = await call(calls > 0)
    if (!('handedOver' in result)) return result
  }
}
