import type { FoundSandbox } from '../contract/provider.ts'
import { readLabels } from './daytona-labels.ts'
import type { DaytonaSandbox } from './daytona-sdk.ts'

/** What is left of Daytona's states for Rollcall. */
export type Life = 'running' | 'coming' | 'dead'

/**
 * A sandbox that was stopped is dead, though Daytona could start it again: what ran in it is gone. A paused one keeps its
 * memory, and whoever paused it can resume it.
 */
export function lifeOf({ state }: Pick<DaytonaSandbox, 'state'>): Life {
  switch (state) {
    case 'started':
    case 'paused':
    case 'pausing':
    case 'resuming':
    case 'resizing':
    case 'snapshotting':
    case 'forking':
      return 'running'
    case 'creating':
    case 'starting':
    case 'restoring':
    case 'pending_build':
    case 'building_snapshot':
    case 'pulling_snapshot':
    case undefined:
      return 'coming'
    default:
      return 'dead'
  }
}

/** Undefined for a sandbox that Rollcall did not make. `end`: why it is dead, where it is. */
export function foundSandbox(
  sandbox: DaytonaSandbox,
  end: FoundSandbox['reason'] | undefined,
): FoundSandbox | undefined {
  const labels = readLabels(sandbox.labels)
  if (labels === undefined) return undefined
  const { ownership, notes } = labels
  return {
    name: sandbox.name,
    id: sandbox.id,
    image: notes.image,
    workdir: notes.workdir ?? '/',
    ownership,
    createdMs: createdMs(sandbox),
    ...(end === undefined ? { state: 'running' } : { state: 'dead', reason: end }),
  }
}

export function createdMs({ createdAt }: Pick<DaytonaSandbox, 'createdAt'>): number {
  return createdAt === undefined ? Date.now() : Date.parse(createdAt)
}
