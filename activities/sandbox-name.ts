import { createHash } from 'node:crypto'

/** Who a sandbox is for; together they give its one name. */
export interface SandboxIdentity {
  /** UUID of the Temporal namespace. */
  readonly namespace: string
  /** Workflow id of the rollout, or of the pool. */
  readonly rolloutId: string
  readonly role: 'main' | 'verifier' | 'pool'
  readonly incarnation: number
  /** Of a verifier: the phase of its grading attempt. */
  readonly phase?: number
}

const longestReadablePart = 30

/** ≤ 63 characters `[a-z0-9-]`: a readable prefix and a hash of everything that makes it unique. */
export function sandboxName(identity: SandboxIdentity): string {
  const readable = identity.rolloutId
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(-longestReadablePart)
    .replaceAll(/^-+|-+$/g, '')
  const phase = identity.phase === undefined ? [] : [identity.phase]
  const parts = [identity.namespace, identity.rolloutId, identity.role, identity.incarnation, ...phase]
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  return `rc-${readable}-${hash.slice(0, 16)}`
}

/** Keeps the execs of rollouts apart that share a sandbox. */
export function execScope(rolloutId: string): string {
  return createHash('sha256').update(rolloutId).digest('hex').slice(0, 12)
}

/**
 * The scope of one grading attempt. Made of the owner nonce, which no sandbox sees: a root agent that knew the ids of
 * grading could put their answers into the runner's journal beforehand, and no test would ever run.
 */
export function gradingScope(attempt: { rolloutId: string; owner: string; phase: number }): string {
  const { rolloutId, owner, phase } = attempt
  return execScope(JSON.stringify([rolloutId, owner, phase]))
}
