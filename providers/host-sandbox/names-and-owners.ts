import { RollcallError } from '../../protocol/failure.ts'
import type { Ownership } from '../contract/provider.ts'
import type { SandboxRecord } from './record.ts'

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

export function isSandboxName(name: string): boolean {
  return namePattern.test(name)
}

/** Names become directories: nothing that climbs or hides may pass. */
export function checkedName(name: string): string {
  if (namePattern.test(name)) return name
  throw new RollcallError('internal', `Sandbox name ${JSON.stringify(name)} must be 1 to 63 characters of [a-z0-9-]`)
}

export function lost(name: string, reason = 'gone'): RollcallError {
  return new RollcallError('sandbox-lost', `Sandbox ${name} is dead (${reason})`)
}

/** @throws RollcallError `sandbox-conflict` naming both owners, or both specifications */
export function refuseOther(record: Pick<SandboxRecord, 'name' | 'ownership'>, asked: Ownership): void {
  const { owner, spec, workflow } = record.ownership
  if (owner === asked.owner && spec === asked.spec) return
  const difference =
    owner === asked.owner
      ? `was made from specification ${spec}, not ${asked.spec}`
      : `belongs to owner ${owner} (${workflow}), not to ${asked.owner} (${asked.workflow})`
  throw new RollcallError('sandbox-conflict', `Sandbox ${record.name} ${difference}`)
}

export function hasLabels(ownership: Ownership, labels: Partial<Ownership>): boolean {
  const known = new Map<string, unknown>(Object.entries(ownership))
  return Object.entries(labels).every(([label, value]) => value === undefined || known.get(label) === value)
}
