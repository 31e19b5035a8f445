import { z } from 'zod'
import type { Ownership } from '../contract/provider.ts'

/** What the SDK tells about no sandbox that it lists or finds. */
export interface SandboxPlace {
  readonly name: string
  /** Name of the image and its id. */
  readonly image: string
  /** Absent until it has been asked for inside: the image's own. */
  readonly workdir?: string
  /** User for commands; absent: root. */
  readonly user?: string
  /** By the clock of whoever made it: milliseconds since 1970. */
  readonly createdMs: number
  /** The runner inside has answered once. */
  readonly isReady?: boolean
  /** Somebody has begun to remove it: when it is over, it was removed, and has not died. */
  readonly isRemoved?: boolean
}

export interface TaggedSandbox {
  readonly ownership: Ownership
  readonly place: SandboxPlace
}

export function tagsOf({ ownership, place }: TaggedSandbox): Record<string, string> {
  return { ...labelTags(ownership), rollcall_place: JSON.stringify(place) }
}

/** Modal lists what has at least these. */
export function labelTags(labels: Partial<Ownership>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [`rollcall_${key}`, String(value)]),
  )
}

/** Undefined for a sandbox that Rollcall did not make. */
export function readTags(tags: Readonly<Record<string, string>>): TaggedSandbox | undefined {
  const result = tagsSchema.safeParse(tags)
  if (!result.success) return undefined
  const { rollcall_place: place, ...labels } = result.data
  const { workdir, user, isReady, isRemoved, ...known } = place
  return {
    ownership: {
      namespace: labels.rollcall_namespace,
      job: labels.rollcall_job,
      workflow: labels.rollcall_workflow,
      role: labels.rollcall_role,
      incarnation: labels.rollcall_incarnation,
      owner: labels.rollcall_owner,
      spec: labels.rollcall_spec,
      keep: labels.rollcall_keep,
      expires: labels.rollcall_expires,
    },
    place: {
      ...known,
      ...(workdir !== undefined && { workdir }),
      ...(user !== undefined && { user }),
      ...(isReady !== undefined && { isReady }),
      ...(isRemoved !== undefined && { isRemoved }),
    },
  }
}

const placeSchema = z.object({
  name: z.string(),
  image: z.string(),
  workdir: z.string().optional(),
  user: z.string().optional(),
  createdMs: z.number(),
  isReady: z.boolean().optional(),
  isRemoved: z.boolean().optional(),
})

const tagsSchema = z.object({
  rollcall_namespace: z.string(),
  rollcall_job: z.string(),
  rollcall_workflow: z.string(),
  rollcall_role: z.enum(['main', 'verifier']),
  rollcall_incarnation: z.coerce.number().int(),
  rollcall_owner: z.string(),
  rollcall_spec: z.string(),
  rollcall_keep: z.enum(['never', 'on-failure', 'always']),
  rollcall_expires: z.coerce.number(),
  rollcall_place: z.preprocess((text) => parseJson(text), placeSchema),
})

function parseJson(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}
