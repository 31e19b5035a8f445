import type { Provider, SystemPicture } from '../providers/contract/provider.ts'
import type { GradeInput } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import { gradeKey } from '../store/keys.ts'
import type { StoredGrade, StoredOpening } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson } from '../store/stored-json.ts'

/** A grade names no more; how many there were stands beside. */
const mostNamed = 100

/** Undefined where nobody can look, or the Engine did not answer: it is evidence, and no rollout fails for want of it. */
export async function takeSystemPicture(
  provider: Pick<Provider, 'systemPicture'>,
  sandbox: string,
): Promise<SystemPicture | undefined> {
  try {
    return await provider.systemPicture?.(sandbox)
  } catch (error) {
    if (error instanceof RollcallError) return undefined
    throw error
  }
}

/**
 * What an agent has changed of the system until now, in steps before this one too. What tests change is no finding: after
 * those of a step there is a new picture, and a further grading attempt finds what the first one found.
 */
export async function findChangedPaths(
  input: GradeInput,
  at: { store: Store; opening: StoredOpening | undefined; look: () => Promise<SystemPicture | undefined> },
): Promise<string[]> {
  const { attempt, phase, step } = input
  const isFirst = attempt === 1 && step === undefined
  const phases = Array.from({ length: isFirst ? 0 : phase }, (_, earlier) => gradeKey({ ...input, phase: earlier }))
  const earlier = await Promise.all(phases.map((key) => getJson<StoredGrade>(at.store, key)))
  const known = earlier.flatMap((grade) => grade?.changedPaths ?? [])
  const before = earlier.findLast((grade) => grade?.system !== undefined)?.system ?? at.opening?.system
  const found = attempt > 1 || before === undefined ? [] : systemChanges(before, await at.look())
  return [...new Set([...known, ...found])]
}

/** Paths that are not as they were, sorted; a folder in which only its entries have changed is not named. */
export function systemChanges(before: SystemPicture, now: SystemPicture | undefined): string[] {
  if (now === undefined || now.isCut || before.isCut) {
    return ['unknown: the system folders could not be looked through']
  }
  const [was, is] = [new Map(before.paths), new Map(now.paths)]
  const changed = [...new Set([...was.keys(), ...is.keys()])]
    .filter((path) => was.get(path) !== is.get(path))
    .toSorted()
  const holders = new Set(changed.flatMap(foldersOf))
  const named = changed.filter((path) => !holders.has(path))
  const more = named.length > mostNamed ? [`… and ${named.length - mostNamed} more`] : []
  return [...named.slice(0, mostNamed), ...more]
}

function foldersOf(path: string): string[] {
  const parts = path.split('/')
  return parts.slice(2).map((_, index) => parts.slice(0, index + 2).join('/'))
}
