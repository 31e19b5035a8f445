import { z } from 'zod'
import type { Ownership } from '../contract/provider.ts'

/** What `find`, `list` and `connect` need to know again and the Engine keeps nowhere else. */
export interface SandboxPlace {
  readonly workdir: string
  /** User for commands; absent: root. */
  readonly user?: string
}

export function labelsOf(ownership: Ownership, place: SandboxPlace): Record<string, string> {
  return {
    ...ownershipLabels(ownership),
    'rollcall.workdir': place.workdir,
    ...(place.user !== undefined && { 'rollcall.user': place.user }),
  }
}

/** `rollcall.<key>=<value>` for each key that is given: what the Engine's label filter takes. */
export function labelFilter(ownership: Partial<Ownership>): string[] {
  const filters = Object.entries(ownershipLabels(ownership)).map(([key, value]) => `${key}=${value}`)
  return ['rollcall.owner', ...filters]
}

/** Undefined for a container that Rollcall did not make. */
export function readOwnership(labels: Readonly<Record<string, string>>): Ownership | undefined {
  const result = ownershipSchema.safeParse(labels)
  if (!result.success) return undefined
  const { data } = result
  return {
    namespace: data['rollcall.namespace'],
    job: data['rollcall.job'],
    workflow: data['rollcall.workflow'],
    role: data['rollcall.role'],
    incarnation: data['rollcall.incarnation'],
    owner: data['rollcall.owner'],
    spec: data['rollcall.spec'],
    keep: data['rollcall.keep'],
    expires: data['rollcall.expires'],
  }
}

export function readPlace(labels: Readonly<Record<string, string>>): SandboxPlace {
  const user = labels['rollcall.user']
  return { workdir: labels['rollcall.workdir'] ?? '/', ...(user !== undefined && { user }) }
}

const ownershipSchema = z.object({
  'rollcall.namespace': z.string(),
  'rollcall.job': z.string(),
  'rollcall.workflow': z.string(),
  'rollcall.role': z.enum(['main', 'verifier', 'pool']),
  'rollcall.incarnation': z.coerce.number().int(),
  'rollcall.owner': z.string(),
  'rollcall.spec': z.string(),
  'rollcall.keep': z.enum(['never', 'on-failure', 'always']),
  'rollcall.expires': z.coerce.number(),
})

function ownershipLabels(ownership: Partial<Ownership>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(ownership)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [`rollcall.${key}`, String(value)]),
  )
}
