import { enteredPrefix } from '../store/keys.ts'
import type { RolloutPlace } from '../store/keys.ts'
import type { StoredVisit } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'

/** Who entered a sandbox with `rollcall shell`, a line each: what a person has changed there nobody can tell. */
export async function findVisits(store: Store, at: RolloutPlace): Promise<string[]> {
  const keys = await store.list(enteredPrefix(at))
  const visits = await Promise.all(keys.map((key) => getJson<StoredVisit>(store, key)))
  return visits.flatMap((visit) => (visit === undefined ? [] : [`rollcall shell: ${visit.who} entered at ${visit.at}`]))
}
