import { createHash } from 'node:crypto'
import type { ImageSource, SandboxSpec } from './runtime.ts'

/**
 * The identity of an order: two specs with the same hash ask for the same sandbox. 64 hexadecimal digits of SHA-256
 * over a JSON whose keys are sorted. Left out is what changes nothing inside the sandbox: the directory a build context
 * was unpacked to on this worker, and how long a caller waits (`acquireTimeoutMs`, `startTimeoutMs`, `execTimeoutMs`).
 */
export function specHash(spec: SandboxSpec): string {
  const { image, limits, secrets, ...rest } = spec
  const identity = {
    ...rest,
    image: imageIdentity(image),
    lifetimeMs: limits.lifetimeMs,
    secrets: secrets.toSorted(),
  }
  return createHash('sha256').update(canonicalJson(identity)).digest('hex')
}

/** JSON with sorted keys and without undefined values: the same text for the same value, whatever its history. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, nested: unknown) => (isRecord(nested) ? sortKeys(nested) : nested)) ?? 'null'
}

function imageIdentity(image: ImageSource): unknown {
  return image.type === 'dockerfile' ? { type: image.type, contentHash: image.contentHash } : image
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function sortKeys(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
