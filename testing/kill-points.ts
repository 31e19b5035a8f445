import { existsSync, writeFileSync } from 'node:fs'
import { Duplex, Transform } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import type { Provider } from '../providers/contract/provider.ts'
import type { Store } from '../store/store.ts'

/**
 * One named instant at which a worker dies. Keys are those of the store; for `create` and `destroy` the rollout's
 * workflow id; for `exec` that id, a slash and the exec's name (`job.task.script.1/1-0-0-0`).
 */
export const killPointSchema = z.object({
  on: z.enum(['get', 'putOnce', 'create', 'destroy', 'exec']),
  /**
   * `during`: as soon as `begun` exists, once the operation has been asked for. `hang-before`, `hang-after`: does not
   * die, but never goes on; whoever made it hang kills it.
   */
  when: z.enum(['before', 'after', 'during', 'hang-before', 'hang-after']),
  /** Regular expression that the operation's key matches. */
  key: z.string(),
  /** Made exclusively right before the kill: whoever finds it there lives on. */
  marker: z.string(),
  begun: z.string().optional(),
})

export type KillPoint = z.infer<typeof killPointSchema>
type Operation = Pick<KillPoint, 'on'> & { readonly key: string }

const lookEveryMs = 10

/** Kills this process at the points it is given, each once among all processes that are given them. */
export class Killer {
  readonly #points: readonly KillPoint[]

  constructor(points: readonly KillPoint[]) {
    this.#points = points
  }

  async around<Result>(operation: Operation, act: () => Promise<Result>): Promise<Result> {
    this.reach(operation, 'before')
    this.reach(operation, 'during')
    await this.#hang(operation, 'hang-before')
    const result = await act()
    this.reach(operation, 'after')
    await this.#hang(operation, 'hang-after')
    return result
  }

  async #hang(operation: Operation, when: KillPoint['when']): Promise<void> {
    if (this.#pointsAt(operation, when).some(isMine)) await new Promise(() => {})
  }

  #pointsAt({ on, key }: Operation, when: KillPoint['when']): KillPoint[] {
    return this.#points.filter((point) => point.on === on && point.when === when && new RegExp(point.key).test(key))
  }

  reach(operation: Operation, when: 'before' | 'during' | 'after'): void {
    for (const point of this.#pointsAt(operation, when)) {
      if (when === 'during') void this.#dieWhenBegun(point)
      else die(point)
    }
  }

  async #dieWhenBegun(point: KillPoint): Promise<void> {
    while (point.begun !== undefined && !existsSync(point.begun)) await delay(lookEveryMs, undefined, { ref: false })
    die(point)
  }
}

function die(point: KillPoint): void {
  if (isMine(point)) process.kill(process.pid, 'SIGKILL')
}

/** Whether nobody has come to this point before. */
function isMine({ marker }: KillPoint): boolean {
  try {
    writeFileSync(marker, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

export function killingStore(store: Store, killer: Killer): Store {
  return {
    url: store.url,
    putOnce: (key, bytes) => killer.around({ on: 'putOnce', key }, () => store.putOnce(key, bytes)),
    get: async (key) => {
      const found = await killer.around({ on: 'get', key }, () => store.get(key))
      // Another death may have come between the write and its answer: who finds the object is at the same instant.
      if (found !== undefined) killer.reach({ on: 'putOnce', key }, 'after')
      return found
    },
    open: (key) => store.open(key),
    list: (prefix) => store.list(prefix),
  }
}

export function killingProvider(provider: Provider, killer: Killer): Provider {
  const workflowOf = async (name: string) => (await provider.find(name))?.ownership.workflow ?? name
  return {
    ...provider,
    createOrAdopt: (request) =>
      killer.around({ on: 'create', key: request.ownership.workflow }, () => provider.createOrAdopt(request)),
    find: async (name) => {
      const found = await provider.find(name)
      // As with what is found stored: it may have been destroyed by somebody who died before hearing of it.
      if (found === undefined) killer.reach({ on: 'destroy', key: name }, 'after')
      return found
    },
    destroy: async (name) =>
      killer.around({ on: 'destroy', key: await workflowOf(name) }, () => provider.destroy(name)),
    connect: async (name) => {
      const workflow = await workflowOf(name)
      return watched(await provider.connect(name), (exec, when) =>
        killer.reach({ on: 'exec', key: `${workflow}/${exec}` }, when),
      )
    },
  }
}

/** A request for a command as it stands on the wire (runner/protocol.md). */
const execRequest = /(?:^|\n)x '?[a-z0-9]{1,32}'? '?(\d+-\d+-\d+-\d+)/g

function watched(connection: Duplex, reach: (exec: string, when: 'before' | 'during') => void): Duplex {
  const requests = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      const names = [...chunk.toString('latin1').matchAll(execRequest)].map(([, name = '']) => name)
      for (const name of names) for (const when of ['before', 'during'] as const) reach(name, when)
      done(null, chunk)
    },
  })
  requests.pipe(connection)
  return Duplex.from({ writable: requests, readable: connection })
}
