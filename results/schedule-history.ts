import type { ScheduleVerdict } from '../protocol/schedule.ts'
import { schedulePrefix } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'

/** What the jobs of a schedule came to, the earliest first; also after Temporal has forgotten them. */
export async function readVerdicts(store: Store, schedule: string): Promise<ScheduleVerdict[]> {
  const keys = await store.list(schedulePrefix(schedule))
  const verdicts = await Promise.all(keys.map((key) => getJson<ScheduleVerdict>(store, key)))
  return verdicts
    .filter((verdict) => verdict !== undefined)
    .toSorted((a, b) => a.scheduledAt.localeCompare(b.scheduledAt))
}
