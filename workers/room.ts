import { RollcallError } from '../protocol/failure.ts'
import type { Provider } from '../providers/contract/provider.ts'

/** What was given room and is heard of no more does not hold it for ever. */
const givenForMs = 30_000
const lookAgainMs = 1_000

/**
 * How many sandboxes a place may hold. Counted where they are, so that workers that share a place, or start again, agree;
 * to these come those that were given room and do not exist yet.
 */
export class Room {
  readonly #at: { limit: number; namespace: string; now: () => number }
  readonly #given = new Map<string, { place: string; until: number }>()

  constructor(at: { limit: number; namespace: string; now: () => number }) {
    this.#at = at
  }

  /** Safe to call twice for a sandbox. @throws RollcallError `provider-busy`, to be tried again, here or elsewhere */
  async give(provider: Provider, sandbox: string): Promise<void> {
    const { limit, namespace, now } = this.#at
    const place = `${provider.name} ${await provider.place()}`
    const held = new Set((await provider.list({ namespace })).map(({ name }) => name))
    for (const [name, given] of this.#given) {
      if (given.until < now() || held.has(name)) this.#given.delete(name)
      else if (given.place === place) held.add(name)
    }
    held.delete(sandbox)
    if (held.size >= limit) {
      const message = `${place} holds ${held.size} sandboxes, as many as it may (rollcall worker --sandboxes ${limit})`
      throw new RollcallError('provider-busy', message, { retryAfterMs: lookAgainMs })
    }
    this.#given.set(sandbox, { place, until: now() + givenForMs })
  }

  /** The sandbox exists: from now on it counts as long as the provider lists it. */
  taken(sandbox: string): void {
    this.#given.delete(sandbox)
  }
}
