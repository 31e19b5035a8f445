import { createHash } from 'node:crypto'

/** Of a hash, as many as a number holds exactly. */
const hashBytes = 6

/**
 * Numbers what somebody's code asks of a sandbox by what it asks, and how often it has asked for that: by order alone
 * code that asks from several places at once would get another command's answer after a worker's death.
 */
export function askedParts(): (question: readonly unknown[]) => number {
  const asked = new Map<string, number>()
  return (question) => {
    const key = JSON.stringify(question)
    const times = asked.get(key) ?? 0
    asked.set(key, times + 1)
    return createHash('sha256').update(`${times} ${key}`).digest().readUIntBE(0, hashBytes)
  }
}

const byName = ([a]: readonly [string, string], [b]: readonly [string, string]) => (a < b ? -1 : 1)

/** Variables as they are asked about: whichever order they were given in. */
export function sortedVariables(env: Readonly<Record<string, string>> = {}): [string, string][] {
  return Object.entries(env).toSorted(byName)
}
