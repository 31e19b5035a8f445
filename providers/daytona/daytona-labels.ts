import { z } from 'zod'
import type { Ownership } from '../contract/provider.ts'

/** What `find` and `list` need to know again and Daytona keeps nowhere else. */
export interface SandboxNotes {
  /** What it was made from. */
  readonly image: string
  readonly lifetimeMs: number
  /** Where commands start. Known before creation only where the order names it. */
  readonly workdir?: string
}

/** Set with the creation itself; `rollcall.workdir` alone may come a moment later. */
export function labelsOf(ownership: Ownership, notes: SandboxNotes): Record<string, string> {
  return {
    ...ownershipLabels(ownership),
    'rollcall.image': notes.image,
    'rollcall.lifetime': String(notes.lifetimeMs),
    ...(notes.workdir !== undefined && { [workdirLabel]: notes.workdir }),
  }
}

export const workdirLabel = 'rollcall.workdir'

export function ownershipLabels(ownership: Partial<Ownership>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(ownership)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [`rollcall.${key}`, String(value)]),
  )
}

/** Undefined for a sandbox that Rollcall did not make. */
export function readLabels(
  labels: Readonly<Record<string, string>>,
): { ownership: Ownership; notes: SandboxNotes } | undefined {
  const result = labelsSchema.safeParse(labels)
  if (!result.success) return undefined
  const { data } = result
  const workdir = data[workdirLabel]
  return {
    ownership: {
      namespace: data['rollcall.namespace'],
      job: data['rollcall.job'],
      workflow: data['rollcall.workflow'],
      role: data['rollcall.role'],
      incarnation: data['rollcall.incarnation'],
      owner: data['rollcall.owner'],
      spec: data['rollcall.spec'],
      keep: data['rollcall.keep'],
      expires: data['rollcall.expires'],
    },
    notes: {
      image: data['rollcall.image'],
      lifetimeMs: data['rollcall.lifetime'],
      ...(workdir !== undefined && { workdir }),
    },
  }
}

const labelsSchema = z.object({
  'rollcall.namespace': z.string(),
  'rollcall.job': z.string(),
  'rollcall.workflow': z.string(),
  'rollcall.role': z.enum(['main', 'verifier']),
  'rollcall.incarnation': z.coerce.number().int(),
  'rollcall.owner': z.string(),
  'rollcall.spec': z.string(),
  'rollcall.keep': z.enum(['never', 'on-failure', 'always']),
  'rollcall.expires': z.coerce.number(),
  'rollcall.image': z.string(),
  'rollcall.lifetime': z.coerce.number(),
  'rollcall.workdir': z.string().optional(),
})
