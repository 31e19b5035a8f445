import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { processIdentitySchema, type ProcessIdentity } from './process-identity.ts'
import type { SandboxPaths } from './paths.ts'

export const ownershipSchema = z.object({
  namespace: z.string(),
  job: z.string(),
  workflow: z.string(),
  role: z.enum(['main', 'verifier', 'pool']),
  incarnation: z.number().int(),
  owner: z.string(),
  spec: z.string(),
  keep: z.enum(['never', 'on-failure', 'always']),
  expires: z.number(),
})

/** `sandbox.json`. */
const sandboxRecordSchema = z.object({
  version: z.literal(1),
  name: z.string(),
  ownership: ownershipSchema,
  /** The sentence for the lock file. */
  image: z.string(),
  workdir: z.string(),
  /** ISO 8601. */
  created: z.string(),
})

export type SandboxRecord = z.infer<typeof sandboxRecordSchema>

/** Undefined where there is no such sandbox. */
export async function readRecord(paths: SandboxPaths): Promise<SandboxRecord | undefined> {
  const text = await readIfThere(paths.record)
  return text === undefined ? undefined : parseRecord(text)
}

export function parseRecord(text: string): SandboxRecord {
  return sandboxRecordSchema.parse(JSON.parse(text))
}

/** Undefined until it has been started. */
export async function readProcessIdentity(paths: SandboxPaths): Promise<ProcessIdentity | undefined> {
  const text = await readIfThere(paths.process)
  return text === undefined ? undefined : processIdentitySchema.parse(JSON.parse(text))
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
}
